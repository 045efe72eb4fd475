//! Lists of texts, as they stand in the file.

use serde::Deserialize;

/// A text, or a list of texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "write a text, or a list of texts")]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Reads each text of a list, which must not be empty.
pub(super) fn each<T>(
    key: &str,
    texts: &[String],
    read: impl Fn(&str) -> Result<T, String>,
    wrong: &mut impl FnMut(String),
) -> Vec<T> {
    if texts.is_empty() {
        wrong(format!("`{key}` is an empty list; leave it out, or name one"));
    }
    let read =
        |text: &String| read(text).map_err(|problem| wrong(format!("{key}: {problem}"))).ok();
    texts.iter().filter_map(read).collect()
}
