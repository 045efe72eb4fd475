//! Values of every kind out of texts: numbers, times, lists, and what may be left out.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::wire::json;

/// The mistake of a list that is set and holds nothing.
pub(super) const NO_MEMBERS: &str = "is set, and there is nothing in it; leave it out";

/// A text as it is.
pub(super) fn text(text: &str) -> Result<String, Infallible> {
    text.parse()
}

/// The path of a file or a folder.
pub(super) fn path(text: &str) -> Result<PathBuf, Infallible> {
    text.parse()
}

/// A secret as it is. An empty one is there, and is for its reader to refuse.
#[expect(clippy::unnecessary_wraps, reason = "every form of a value is of this type")]
pub(super) fn secret(text: &str) -> Result<Option<Secret>, Infallible> {
    Ok(Some(Secret::new(text)))
}

/// A value that may be left out: an empty text says so.
pub(super) fn optional<T, E>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&str) -> Result<Option<T>, E> {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

/// A value that is switched off by the word.
pub(super) fn or_off<T, E>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&str) -> Result<Option<T>, E> {
    move |text| if text == "off" { Ok(None) } else { parse(text).map(Some) }
}

/// A yes or no.
pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("write `true` or `false`"),
    }
}

/// A whole number within bounds.
pub(super) fn whole<T: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let number = text.parse::<u64>().ok().filter(|n| (least..=most).contains(n));
        let number = number.and_then(|number| number.try_into().ok());
        number.ok_or_else(|| format!("{text:?} is not a whole number from {least} to {most}"))
    }
}

/// A number from 0 to 1.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    number(text, "number", 0.0, 1.0)
}

/// A time in seconds, with fractions.
pub(super) fn seconds(least: f64, most: f64) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| number(text, "number of seconds", least, most).map(Duration::from_secs_f64)
}

/// A time in minutes, with fractions.
pub(super) fn minutes(least: f64, most: f64) -> impl Fn(&str) -> Result<Duration, String> {
    let minute = Duration::from_secs(60);
    move |text| number(text, "number of minutes", least, most).map(|it| minute.mul_f64(it))
}

fn number(text: &str, what: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("{text:?} is not a {what} from {least} to {most}"))
}

/// The members of a comma list. One that is set and has none is a mistake: whoever wrote it meant
/// something by it, and it would count as not set.
pub(super) fn list(text: &str) -> Result<Vec<String>, &'static str> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    let members: Vec<_> = members.map(str::to_owned).collect();
    if members.is_empty() { Err(NO_MEMBERS) } else { Ok(members) }
}

/// The members of a comma list, or none by the word `off`.
pub(super) fn list_or_off(text: &str) -> Result<Vec<String>, &'static str> {
    if text == "off" { Ok(Vec::new()) } else { list(text) }
}

/// A JSON list of texts, or a comma list.
pub(super) fn json_list(text: &str) -> Result<Vec<String>, &'static str> {
    if !text.starts_with(['[', '{']) {
        return list(text);
    }
    json::from_str(text).map_err(|_| "is no JSON list of texts")
}
