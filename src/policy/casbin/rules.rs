//! Rules of a Casbin policy: comma-separated lines, `p` for permissions and `g` for roles.

use std::fmt;

use casbin::Model;

use super::BadCasbin;

/// The longest value of a rule, in bytes: no request has a longer one.
const MAX_VALUE_BYTES: usize = super::MAX_TEXT_BYTES;
/// The most values of a rule.
const MAX_VALUES: usize = 16;

/// A rule as somebody wrote it; only a model says whether it means anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// `p`, or one of the role definitions of the model: `g`, `g2`.
    pub kind: String,
    /// Its values.
    pub fields: Vec<String>,
}

/// The problem of a rule's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(String);

impl PolicyRule {
    /// Reads a rule from its kind and its values.
    ///
    /// # Errors
    /// [`BadRule`] where there is no kind, and where a value is too long or could not stand in a line.
    pub fn new(values: Vec<String>) -> Result<Self, BadRule> {
        let mut fields = values;
        let problem = |text: &str| Err(BadRule(text.to_owned()));
        let is_kind = |kind: &String| {
            let mut letters = kind.chars();
            letters.next().is_some_and(|first| matches!(first, 'p' | 'g'))
                && letters.all(|rest| rest.is_ascii_digit())
        };
        if fields.len() < 2 || !is_kind(&fields[0]) {
            return problem("a rule is its kind, as p or g, and its values");
        }
        if fields.len() > MAX_VALUES {
            return problem("a rule has 16 values at most");
        }
        if fields.iter().any(|field| field.len() > MAX_VALUE_BYTES) {
            return problem("a value has 1,024 bytes at most");
        }
        if fields.iter().any(|field| field.contains('"') || field.chars().any(char::is_control)) {
            return problem("a value has no quotes and no control characters");
        }
        if fields.iter().any(|field| field.trim() != field) {
            return problem("a value has no blanks around it");
        }
        let kind = fields.remove(0);
        Ok(Self { kind, fields })
    }

    /// Reads a line of a policy.
    ///
    /// # Errors
    /// [`BadRule`].
    pub fn parse(line: &str) -> Result<Self, BadRule> {
        Self::new(split(line).map_err(BadRule)?)
    }

    /// Reads all lines of a policy. Beside each rule is the number of its line, from 1.
    ///
    /// # Errors
    /// The first line that is no rule, and why.
    pub fn parse_all(text: &str) -> Result<Vec<(usize, Self)>, (usize, BadRule)> {
        lines(text)
            .map(|(line, text)| match Self::parse(text) {
                Ok(rule) => Ok((line, rule)),
                Err(problem) => Err((line, problem)),
            })
            .collect()
    }

    /// Its kind and its values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.kind).chain(&self.fields).map(String::as_str)
    }
}

/// The rule as a line of a policy.
impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, value) in self.values().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            if value.contains(',') { write!(f, "\"{value}\"")? } else { f.write_str(value)? }
        }
        Ok(())
    }
}

/// A rule of a model, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) kind: String,
    pub(super) fields: Vec<String>,
    pub(super) place: Place,
}

/// The place of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A line of the file, by its number from 1.
    Line(usize),
    /// The database.
    Database,
}

/// Reads the rules of a file, for this model; there may be none.
pub(super) fn read(text: &str, model: &dyn Model) -> Result<Vec<Rule>, BadCasbin> {
    let read = lines(text).map(|(line, text)| {
        let rule = split(text).and_then(|fields| Rule::of(fields, Place::Line(line), model));
        rule.map_err(|problem| BadCasbin::Rule { line, problem })
    });
    read.collect()
}

/// Reads rules of the database, for this model.
pub(super) fn read_stored(rules: &[PolicyRule], model: &dyn Model) -> Result<Vec<Rule>, BadCasbin> {
    let read = rules.iter().map(|rule| {
        let fields = rule.values().map(str::to_owned).collect();
        let read = Rule::of(fields, Place::Database, model);
        read.map_err(|problem| BadCasbin::Stored { rule: rule.to_string(), problem })
    });
    read.collect()
}

/// The lines that say something, by their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim).enumerate();
    let said = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    said.map(|(number, text)| (number + 1, text))
}

impl Rule {
    fn of(mut fields: Vec<String>, place: Place, model: &dyn Model) -> Result<Self, String> {
        let kind = fields.remove(0);
        let section = if kind == "p" || kind.starts_with('g') { &kind[..1] } else { "" };
        let definition = model.get_model().get(section).and_then(|section| section.get(&kind));
        let definition = definition.ok_or_else(|| format!("the model asks for no {kind:?}"))?;
        let expected = match section {
            "p" => definition.tokens.len(),
            _ => definition.value.matches('_').count(),
        };
        if fields.len() != expected {
            return Err(format!("{kind:?} has {expected} values, not {}", fields.len()));
        }
        let effect = definition.tokens.iter().position(|token| token == "p_eft");
        if let Some(effect) = effect.and_then(|at| fields.get(at))
            && !["allow", "deny"].contains(&effect.as_str())
        {
            return Err(format!("an effect is allow or deny, not {effect:?}"));
        }
        Ok(Self { kind, fields, place })
    }

    /// The mistake of this rule.
    pub(super) fn mistake(&self, problem: String) -> BadCasbin {
        match self.place {
            Place::Line(line) => BadCasbin::Rule { line, problem },
            Place::Database => {
                let (kind, fields) = (self.kind.clone(), self.fields.clone());
                let rule = PolicyRule { kind, fields }.to_string();
                BadCasbin::Stored { rule, problem }
            }
        }
    }
}

/// The values between commas, without the blanks around them; one in quotes may hold commas.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut rest) = (Vec::new(), Some(text));
    while let Some(text) = rest {
        let text = text.trim_start();
        let (field, after) = match text.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote does not end")?,
            None => text.split_at(text.find(',').unwrap_or(text.len())),
        };
        let after = after.trim_start();
        rest = after.strip_prefix(',');
        if rest.is_none() && !after.is_empty() {
            return Err("something stands behind a quote".to_owned());
        }
        fields.push(field.trim_end().to_owned());
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_between_commas_or_in_quotes() {
        for (text, values) in [
            ("p, alice, data, read", &["p", "alice", "data", "read"][..]),
            ("p,alice ,  data,", &["p", "alice", "data", ""]),
            (r#"p, "a, b" , c"#, &["p", "a, b", "c"]),
            ("p", &["p"]),
        ] {
            assert_eq!(split(text).expect(text), values, "{text}");
        }
        for text in [r#"p, "a"#, r#"p, "a" b, c"#] {
            assert!(split(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_is_read_again_as_it_was_written() {
        for values in
            [&["p", "alice", "data", "read"][..], &["p", "a, b", "c", ""], &["g2", "#1", "role:x"]]
        {
            let rule = PolicyRule::new(values.iter().map(|it| (*it).to_owned()).collect());
            let rule = rule.expect("a rule");
            assert_eq!(PolicyRule::parse(&rule.to_string()), Ok(rule.clone()), "{rule}");
        }
    }

    #[test]
    fn what_no_line_could_say_is_no_rule() {
        let long = "x".repeat(1_025);
        for values in [
            &[][..],
            &["p"],
            &["", "a"],
            &["p", "a\nb"],
            &["p", "a\"b"],
            &["p", " a"],
            &["d", "a"],
            &["#", "a"],
            &["p", &long],
        ] {
            let rule = PolicyRule::new(values.iter().map(|it| (*it).to_owned()).collect());
            assert!(rule.is_err(), "{values:?}");
        }
        let found = PolicyRule::parse_all("# roles\n\ng, a, b\np\n").expect_err("a bad line");
        assert_eq!(found.0, 4);
    }
}
