//! Tables of the policy's files. Every mistake is told with the line and the key at which it stands,
//! and one hides no other.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::config::mistakes::Mistakes;
use crate::wire::deserialization;

/// A file of tables, and the mistakes in it.
pub(super) struct Source<'s> {
    place: &'s str,
    text: &'s str,
    pub(super) mistakes: &'s mut Mistakes,
}

/// A table that was read.
pub(super) struct Read<T> {
    pub(super) value: T,
    /// False where keys with a mistake were left out.
    pub(super) is_whole: bool,
}

/// Tells a mistake, and the byte of the file at which it stands.
pub(super) type Tell<'t> = dyn FnMut(usize, String) + 't;

impl<'s> Source<'s> {
    /// A file of this name with this text.
    pub(super) fn new(place: &'s str, text: &'s str, mistakes: &'s mut Mistakes) -> Self {
        Self { place, text, mistakes }
    }

    /// The line in which this byte stands.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text[..offset.min(self.text.len())].matches('\n').count() + 1
    }

    /// Adds a mistake at this byte, in a table of this name.
    pub(super) fn wrong(&mut self, offset: usize, table: &str, problem: String) {
        let line = self.line(offset);
        self.mistakes.add(&format!("{}, line {line}{table}", self.place), problem);
    }

    /// The whole file; `None` where it is not TOML.
    pub(super) fn parse(&mut self) -> Option<DeTable<'s>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table.into_inner()),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.wrong(at, "", error.message().trim().replace('\n', " "));
                None
            }
        }
    }

    /// Takes the tables `[[name]]` out of a file.
    pub(super) fn take_tables(
        &mut self,
        file: &mut DeTable<'s>,
        name: &str,
    ) -> Vec<Spanned<DeValue<'s>>> {
        let Some(listed) = file.remove(name) else { return Vec::new() };
        let at = listed.span().start;
        if let DeValue::Array(tables) = listed.into_inner() {
            return tables.into_iter().collect();
        }
        self.wrong(at, "", format!("{name}: write [[{name}]], with two brackets"));
        Vec::new()
    }

    /// Reads what else stands in a file.
    pub(super) fn read_head<T: for<'de> Deserialize<'de>>(
        &mut self,
        file: DeTable<'s>,
    ) -> Option<T> {
        let read = read(file, 0..0, "", &mut |at, problem| self.wrong(at, "", problem));
        read.and_then(Read::whole)
    }
}

impl<T> Read<T> {
    /// The table, if all of it could be read.
    pub(super) fn whole(self) -> Option<T> {
        self.is_whole.then_some(self.value)
    }
}

/// Reads a table that stands at this key. A key with a mistake is told and left out.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    mut table: DeTable<'_>,
    span: Range<usize>,
    key: &str,
    tell: &mut Tell<'_>,
) -> Option<Read<T>> {
    let mut left_out: Vec<String> = Vec::new();
    loop {
        let value = Spanned::new(span.clone(), DeValue::Table(table.clone()));
        let misread = match deserialization::read(ValueDeserializer::from(value)) {
            Ok(value) => return Some(Read { value, is_whole: left_out.is_empty() }),
            Err(misread) => misread,
        };
        let message = misread.error.message();
        if left_out.iter().any(|name| message == format!("missing field `{name}`")) {
            return None;
        }
        let at = misread.error.span().map_or(span.start, |span| span.start);
        tell(at, misread.in_words(key, message));
        let name = misread.first_key()?.to_owned();
        table.remove(name.as_str())?;
        left_out.push(name);
    }
}
