//! Rules of a Casbin policy: comma-separated lines, `p` for permissions and `g` for roles.

use casbin::Model;

use super::BadCasbin;

/// A rule, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// `p`, or one of the role definitions of the model: `g`, `g2`.
    pub(super) kind: String,
    pub(super) fields: Vec<String>,
    /// The number of its line, from 1.
    pub(super) line: usize,
}

/// Reads the rules of a policy, for this model.
pub(super) fn read(text: &str, model: &dyn Model) -> Result<Vec<Rule>, BadCasbin> {
    let mut rules = Vec::new();
    for (number, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let line = number + 1;
        let rule = Rule::read(line, text, model);
        rules.push(rule.map_err(|problem| BadCasbin::Rule { line, problem })?);
    }
    if rules.iter().any(|rule| rule.kind == "p") {
        Ok(rules)
    } else {
        let problem = "there is no rule that begins with `p`".to_owned();
        Err(BadCasbin::Rule { line: 1, problem })
    }
}

impl Rule {
    fn read(line: usize, text: &str, model: &dyn Model) -> Result<Self, String> {
        let mut fields = split(text)?;
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
        Ok(Self { kind, fields, line })
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
}
