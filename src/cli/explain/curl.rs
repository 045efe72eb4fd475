//! A `curl` command, as people write it and as browsers copy it, read into the request that it sends.
//!
//! Flags are known by a list. One that is not in it is refused: whether its value follows could only be
//! guessed. No message holds a value, which may be a credential.

mod flags;
mod quotation;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::recorded::Recorded;
use crate::policy::canonical::Told;
use flags::{Effect, Flag};

/// The parts of the command that decide what is sent.
#[derive(Default)]
struct CurlCommand {
    urls: Vec<String>,
    method: Option<String>,
    headers: Vec<(String, String)>,
    /// The data, which `-G` moves into the query.
    data: Vec<String>,
    /// The other flags that matter.
    effects: Vec<Effect>,
}

/// Reads a command.
pub(super) fn read(text: &str) -> anyhow::Result<Recorded> {
    // The shell removes these; the library would make a word of one.
    let text = text.replace("\\\r\n", "").replace("\\\n", "");
    let text = quotation::in_every_shell(&text)?;
    let mut words = shlex::split(&text).context("a quotation has no end")?.into_iter();
    ensure!(words.next().is_some_and(|word| word == "curl"), "the command begins with `curl`");
    let mut command = CurlCommand::default();
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--") {
            let flag = Flag::long(name).with_context(|| unknown(&format!("--{name}")))?;
            command.take(flag, &mut || words.next())?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            command.take_letters(letters, &mut || words.next())?;
        } else {
            command.urls.push(word);
        }
    }
    command.into_request()
}

fn unknown(flag: &str) -> String {
    // What follows `=` may be a credential; curl itself knows no such form.
    let name = flag.split('=').next().unwrap_or_default();
    format!("the flag {name} is not known here; leave it out, or use --url and --header")
}

impl CurlCommand {
    /// Takes `-sSXPOST`: letters in one word, of which the first that has a value takes the rest.
    fn take_letters(
        &mut self,
        letters: &str,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> anyhow::Result<()> {
        for (at, letter) in letters.char_indices() {
            let flag = Flag::short(letter).with_context(|| unknown(&format!("-{letter}")))?;
            let rest = &letters[at + letter.len_utf8()..];
            if flag.takes_value && !rest.is_empty() {
                return self.take(flag, &mut || Some(rest.to_owned()));
            }
            self.take(flag, next)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        flag: &Flag,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> anyhow::Result<()> {
        let value = if flag.takes_value {
            next().with_context(|| format!("--{} has no value", flag.name))?
        } else {
            String::new()
        };
        self.apply(flag.effect, value).with_context(|| format!("--{}", flag.name))
    }

    fn apply(&mut self, effect: Effect, value: String) -> anyhow::Result<()> {
        match effect {
            Effect::Nothing => {}
            Effect::Url => self.urls.push(value),
            Effect::Method => self.method = Some(value),
            Effect::Header => self.take_header(&value)?,
            Effect::HeaderOf(name) => self.headers.push((name.to_owned(), value)),
            Effect::Cookie => {
                ensure!(value.contains('='), "a file of cookies is not read; write NAME=VALUE");
                self.headers.push(("cookie".to_owned(), value));
            }
            Effect::User => {
                ensure!(value.contains(':'), "write USER:PASSWORD");
                self.authorize(&format!("Basic {}", STANDARD.encode(value)));
            }
            Effect::Bearer => self.authorize(&format!("Bearer {value}")),
            Effect::Data => self.take_data(value),
            Effect::EncodedData => self.take_data(encoded(&value)),
            Effect::Json => {
                self.headers.push(("content-type".to_owned(), "application/json".to_owned()));
                self.take_data(value);
            }
            Effect::Form
            | Effect::Upload
            | Effect::Head
            | Effect::Get
            | Effect::KeepDots
            | Effect::KeepGlobs => self.effects.push(effect),
        }
        Ok(())
    }

    fn has(&self, effect: Effect) -> bool {
        self.effects.contains(&effect)
    }

    fn authorize(&mut self, value: &str) {
        self.headers.push(("authorization".to_owned(), value.to_owned()));
    }

    fn take_data(&mut self, data: String) {
        self.data.push(data);
    }

    /// `Name: value`; `Name:` removes one of curl's own, and `Name;` sends it empty.
    fn take_header(&mut self, text: &str) -> anyhow::Result<()> {
        ensure!(!text.starts_with('@'), "a file of headers is not read");
        match (text.split_once(':'), text.strip_suffix(';')) {
            (Some((_, value)), _) if value.trim().is_empty() => {}
            (Some((name, value)), _) => {
                self.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            (None, Some(name)) => self.headers.push((name.trim().to_owned(), String::new())),
            (None, None) => bail!("write `NAME: VALUE`"),
        }
        Ok(())
    }

    fn into_request(self) -> anyhow::Result<Recorded> {
        let [url] = self.urls.as_slice() else {
            bail!("give one command with one URL, and nothing behind it");
        };
        let mut recorded = Recorded::of_url(self.method(), &with_scheme(url))?;
        if let Some((user, host)) = recorded.host.clone().rsplit_once('@') {
            let line = format!("Basic {}", STANDARD.encode(user));
            recorded.take_header("authorization", &line)?;
            host.clone_into(&mut recorded.host);
        }
        recorded.target = self.sent_target(&recorded.target)?;
        for (name, value) in &self.headers {
            recorded.take_header(name, value)?;
        }
        Ok(recorded)
    }

    fn method(&self) -> &str {
        match &self.method {
            Some(method) => method,
            None if self.has(Effect::Head) => "HEAD",
            None if self.has(Effect::Get) => "GET",
            None if self.has(Effect::Upload) => "PUT",
            None if self.has(Effect::Form) || !self.data.is_empty() => "POST",
            None => "GET",
        }
    }

    /// The target as it is sent: without the fragment, and with the data of `-G` in its query.
    fn sent_target(&self, target: &str) -> anyhow::Result<String> {
        let target = target.split('#').next().unwrap_or_default();
        if !self.has(Effect::KeepGlobs) && target.contains(['{', '}', '[', ']']) {
            bail!("curl makes several URLs of braces and brackets; add --globoff if it does not");
        }
        let path = target.split('?').next().unwrap_or_default();
        if !self.has(Effect::KeepDots)
            && path.split('/').any(|segment| matches!(segment, "." | ".."))
        {
            bail!("curl resolves /./ and /../ itself; add --path-as-is, or write what it sends");
        }
        let mut target =
            if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if self.has(Effect::Get) {
            if self.data.iter().any(|data| data.starts_with('@')) {
                bail!("--get: a file of data is not read");
            }
            for data in &self.data {
                target.push(if target.contains('?') { '&' } else { '?' });
                target.push_str(data);
            }
        }
        Ok(target)
    }
}

/// A URL with a scheme. curl takes `http` where there is none.
fn with_scheme(url: &str) -> String {
    let has_scheme = Told::of_url("GET", url).is_some();
    if has_scheme { url.to_owned() } else { format!("http://{url}") }
}

/// `NAME=VALUE`, or a value alone, whose value is escaped.
fn encoded(data: &str) -> String {
    let escape = |value: &str| {
        let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        form.replace('+', "%20")
    };
    match data.split_once('=') {
        Some(("", value)) => escape(value),
        Some((name, value)) => format!("{name}={}", escape(value)),
        None if data.contains('@') => "@".to_owned(),
        None => escape(data),
    }
}

#[cfg(test)]
mod tests;
