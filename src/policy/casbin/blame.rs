//! The file that a mistake of Casbin's is in: only a rule shows what is wrong in the matcher, and
//! Casbin names neither.

use casbin::Model;

/// The sections that a model may have.
const SECTIONS: [&str; 5] =
    ["request_definition", "policy_definition", "role_definition", "policy_effect", "matchers"];
/// The beginnings of failures by which the matcher names what there is not.
const MISSING: [(&str, &str); 2] =
    [("ErrorVariableNotFound(\"", "no"), ("ErrorFunctionNotFound(\"", "no function")];

/// The mistake in the matcher by which no rule can be decided; `None` where it is the rule's own.
/// A matcher with `eval` takes names from rules too.
pub(super) fn of_matcher(model: &dyn Model, failure: &str) -> Option<String> {
    let matcher = &model.get_model().get("m")?.get("m")?.value;
    if matcher.contains("eval(") {
        return None;
    }
    let (what, named) = MISSING
        .iter()
        .find_map(|(sign, what)| failure.split_once(*sign).map(|(_, named)| (what, named)))?;
    let name = named.split(['"', ' ', '(']).next().unwrap_or_default();
    // Casbin writes `r.sub` as `r_sub`.
    let name = match name.split_once('_') {
        Some((part @ ("r" | "p"), rest)) => format!("{part}.{rest}"),
        _ => name.to_owned(),
    };
    Some(format!("[matchers]: there is {what} `{name}`"))
}

/// A hint at the sections of a model that Casbin passes over: they may be misspelt.
pub(super) fn unknown_sections(text: &str) -> String {
    let headers = text.lines().filter_map(|line| line.trim().strip_prefix('[')?.strip_suffix(']'));
    let unknown: Vec<_> = headers
        .filter(|name| !SECTIONS.contains(&name.trim()))
        .map(|name| format!("[{name}]"))
        .collect();
    if unknown.is_empty() {
        return String::new();
    }
    format!("; Casbin knows no section {}", unknown.join(", "))
}
