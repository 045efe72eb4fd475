//! A text of the policy's file in which parts of the request stand: `order:{order}`, `{method}`.

use std::borrow::Cow;
use std::fmt;

/// The name that stands for the request's method.
const METHOD: &str = "method";

/// A text with names in braces: parameters of the path, or the method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Parameter(String),
    Method,
}

/// A mistake in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTemplate {
    /// A brace stands alone.
    #[error("a brace stands alone; write {{name}} for a parameter of the path")]
    Brace,
    /// Nothing has this name.
    #[error("{{{0}}} is neither a parameter of every `path` of this route nor {{method}}")]
    Unknown(String),
    /// A parameter of the path is called as the method is.
    #[error("{{method}} is also a parameter of the path; give that another name")]
    Ambiguous,
}

impl Template {
    /// Reads a text. `is_parameter` knows the parameters of the path.
    ///
    /// # Errors
    /// The first mistake in it.
    pub(crate) fn parse(
        text: &str,
        is_parameter: impl Fn(&str) -> bool,
    ) -> Result<Self, BadTemplate> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(BadTemplate::Brace)?;
            push_text(&mut parts, before)?;
            parts.push(match (name == METHOD, is_parameter(name)) {
                (true, false) => Part::Method,
                (false, true) => Part::Parameter(name.to_owned()),
                (true, true) => return Err(BadTemplate::Ambiguous),
                (false, false) => return Err(BadTemplate::Unknown(name.to_owned())),
            });
            rest = after;
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }

    /// The text itself, where no part of a request stands in it.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for a request; `None` where it has no such parameter.
    pub(super) fn render<'t>(
        &'t self,
        parameter: impl Fn(&str) -> Option<&'t str>,
        method: &'t str,
    ) -> Option<Cow<'t, str>> {
        let value = |part: &'t Part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Parameter(name) => parameter(name),
            Part::Method => Some(method),
        };
        match self.0.as_slice() {
            [part] => value(part).map(Cow::Borrowed),
            parts => parts.iter().map(value).collect::<Option<String>>().map(Cow::Owned),
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), BadTemplate> {
    if text.contains('}') {
        return Err(BadTemplate::Brace);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Parameter(name) => write!(f, "{{{name}}}"),
            Part::Method => write!(f, "{{{METHOD}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, BadTemplate> {
        Template::parse(text, |name| ["id", "order"].contains(&name))
    }

    fn rendered(text: &str) -> Option<String> {
        let template = parse(text).expect(text);
        assert_eq!(template.to_string(), text);
        let parameter = |name: &str| (name == "order").then_some("17");
        template.render(parameter, "GET").map(Cow::into_owned)
    }

    #[test]
    fn parts_of_the_request_stand_in_their_places() {
        for (text, expected) in [
            ("", Some("")),
            ("dataset", Some("dataset")),
            ("{order}", Some("17")),
            ("{method}", Some("GET")),
            ("order:{order}/{method}", Some("order:17/GET")),
            ("{order}{order}", Some("1717")),
            // A parameter that this request does not have.
            ("{id}", None),
            ("order:{id}", None),
        ] {
            assert_eq!(rendered(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_what_has_no_name_in_it_is_constant() {
        for (text, constant) in
            [("", Some("")), ("a b", Some("a b")), ("{order}", None), ("a{method}", None)]
        {
            assert_eq!(parse(text).expect(text).constant(), constant, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        let unknown = |name: &str| BadTemplate::Unknown(name.to_owned());
        for (text, mistake) in [
            ("{", BadTemplate::Brace),
            ("}", BadTemplate::Brace),
            ("a}b{order}", BadTemplate::Brace),
            ("{order}}", BadTemplate::Brace),
            ("{Order}", unknown("Order")),
            ("{}", unknown("")),
            ("{{order}}", unknown("{order")),
        ] {
            assert_eq!(parse(text), Err(mistake), "{text}");
        }
        let both = Template::parse("{method}", |_| true);
        assert_eq!(both, Err(BadTemplate::Ambiguous));
    }
}
