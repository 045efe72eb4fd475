//! The envelope of requests and answers: a Fernet token, in base64 once more.
//!
//! A message is good for a minute and once. authnzerver takes one for ever; whoever recorded a
//! request there may send it again.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use fernet::Fernet;
use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::store::records::{Record, Records};
use crate::store::{Operation, StoreError};

/// The age from which a message is refused.
const MAX_AGE: Duration = Duration::from_secs(60);
/// The time by which the sender's clock may be ahead of ours.
const MAX_AHEAD: Duration = Duration::from_secs(30);
/// The place of the time in a token: after the version, 8 bytes, big end first.
const TIME: std::ops::Range<usize> = 1..9;

/// The key of all messages.
#[derive(Clone)]
pub struct MessageKey(Fernet);

impl MessageKey {
    /// Reads a key: 32 bytes in base64url, as `Fernet.generate_key()` writes them.
    pub fn parse(secret: &Secret) -> Option<Self> {
        Fernet::new(secret.expose_str()?.trim().trim_matches('"')).map(Self)
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Opens requests and seals answers.
#[derive(Debug)]
pub(super) struct Envelope {
    key: MessageKey,
    records: Records,
}

/// The reason why a message is not served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It was not made with this key, or was changed since.
    Unreadable,
    /// It is older than a minute, or from the future.
    OutOfTime,
    /// It came before.
    Replayed,
    /// Nobody can say whether it came before.
    Store(StoreError),
}

/// A message that came, as it is remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SeenMessage {
    /// In milliseconds since the Unix epoch.
    end: u64,
}

impl Record for SeenMessage {
    const KIND: &'static str = "authnzerver-message";
    /// There is one for each request. By so much the clocks of the instances may differ.
    const MARGIN: Duration = Duration::from_secs(60);

    fn end(&self) -> UnixTime {
        UnixTime::from_millis(self.end)
    }
}

impl Envelope {
    pub(super) fn new(key: MessageKey, records: Records) -> Self {
        Self { key, records }
    }

    /// The content of a message that comes for the first time.
    ///
    /// # Errors
    /// [`Unopened`].
    pub(super) async fn open(&self, body: &[u8], now: UnixTime) -> Result<Vec<u8>, Unopened> {
        let (token, made) = token(body).ok_or(Unopened::Unreadable)?;
        // Its time is ours to judge, and told apart from a wrong key.
        let opened = self.key.0.decrypt_at_time(&token.text, None, made.as_secs());
        let content = opened.map_err(|_| Unopened::Unreadable)?;
        let end = made.after(MAX_AGE);
        if end <= now || made > now.after(MAX_AHEAD) {
            return Err(Unopened::OutOfTime);
        }
        self.remember(&token.bytes, end, now).await?;
        Ok(content)
    }

    /// Remembers a message until it would be too old anyway.
    async fn remember(&self, token: &[u8], end: UnixTime, now: UnixTime) -> Result<(), Unopened> {
        let name = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, token));
        let decide = move |seen: Option<SeenMessage>| match seen {
            Some(_) => (false, None),
            None => (true, Some(SeenMessage { end: end.as_millis() })),
        };
        let is_new = self.records.change(Operation::RememberMessage, &name, now, decide).await;
        if is_new.map_err(Unopened::Store)? { Ok(()) } else { Err(Unopened::Replayed) }
    }

    /// Seals an answer.
    pub(super) fn seal(&self, content: &[u8], now: UnixTime) -> String {
        STANDARD.encode(self.key.0.encrypt_at_time(content, now.as_secs()))
    }
}

/// A Fernet token, as text and as bytes.
struct Token {
    text: String,
    bytes: Vec<u8>,
}

/// The token of a body, and when it says that it was made. Both layers of base64 have one form
/// only, so that no other spelling of a message counts as another message.
fn token(body: &[u8]) -> Option<(Token, UnixTime)> {
    let text = String::from_utf8(STANDARD.decode(body.trim_ascii()).ok()?).ok()?;
    let bytes = URL_SAFE.decode(&text).ok()?;
    let seconds = u64::from_be_bytes(bytes.get(TIME)?.try_into().ok()?);
    Some((Token { text, bytes }, UnixTime::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::StoreMetrics;
    use crate::store::records::MemoryRecordStore;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn key(text: &str) -> MessageKey {
        MessageKey::parse(&Secret::new(text)).expect("a key")
    }

    fn envelope_of(key: MessageKey) -> Envelope {
        let clock = Arc::new(ManualClock::at(NOW));
        let store = Arc::new(MemoryRecordStore::new());
        let (timeout, metrics) = (Duration::from_secs(5), StoreMetrics::default());
        Envelope::new(key, Records::new(store, timeout, clock, metrics))
    }

    fn envelope() -> Envelope {
        envelope_of(key(KEY))
    }

    fn sealed_at(seconds: u64) -> String {
        envelope().seal(b"{}", UnixTime::from_secs(seconds))
    }

    async fn opened(message: &str) -> Result<Vec<u8>, Unopened> {
        envelope().open(message.as_bytes(), NOW).await
    }

    #[tokio::test]
    async fn a_message_of_the_last_minute_is_opened() {
        for seconds in [NOW.as_secs(), NOW.as_secs() - 59, NOW.as_secs() + 30] {
            assert_eq!(opened(&sealed_at(seconds)).await, Ok(b"{}".to_vec()), "{seconds}");
        }
        for seconds in [NOW.as_secs() - 60, NOW.as_secs() + 31, 0, u64::MAX / 1_000] {
            let refused = opened(&sealed_at(seconds)).await;
            assert_eq!(refused, Err(Unopened::OutOfTime), "{seconds}");
        }
    }

    #[tokio::test]
    async fn a_message_is_opened_once_as_long_as_its_time_is_good() {
        let envelope = envelope();
        let message = sealed_at(NOW.as_secs() + 30);
        assert!(envelope.open(message.as_bytes(), NOW).await.is_ok());
        for later in [0, 59, 89] {
            let at = NOW.after(Duration::from_secs(later));
            let again = envelope.open(message.as_bytes(), at).await;
            assert_eq!(again, Err(Unopened::Replayed), "after {later} s");
        }
        let other = sealed_at(NOW.as_secs());
        assert!(envelope.open(other.as_bytes(), NOW).await.is_ok(), "the same content, made anew");
    }

    #[tokio::test]
    async fn no_other_spelling_of_a_message_is_another_message() {
        let message = sealed_at(NOW.as_secs());
        let inner = String::from_utf8(STANDARD.decode(&message).expect("base64")).expect("text");
        let envelope = envelope();
        assert!(envelope.open(message.as_bytes(), NOW).await.is_ok());
        for spelling in [
            format!(" {message}\r\n"),
            message.trim_end_matches('=').to_owned(),
            STANDARD.encode(inner.trim_end_matches('=')),
            STANDARD.encode(format!("{inner}\n")),
            STANDARD.encode(inner.replace('-', "+").replace('_', "/")),
        ] {
            assert!(envelope.open(spelling.as_bytes(), NOW).await.is_err(), "{spelling}");
        }
    }

    #[tokio::test]
    async fn another_key_and_any_changed_byte_are_refused() {
        let message = sealed_at(NOW.as_secs());
        let other = envelope_of(key("YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="));
        let refused = other.open(message.as_bytes(), NOW).await;
        assert_eq!(refused, Err(Unopened::Unreadable));
        let inner = STANDARD.decode(&message).expect("base64");
        let bytes = URL_SAFE.decode(inner).expect("base64");
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let changed = STANDARD.encode(URL_SAFE.encode(changed));
            assert_eq!(opened(&changed).await, Err(Unopened::Unreadable), "byte {place}");
        }
    }

    #[test]
    fn a_key_is_32_bytes_and_never_printed() {
        assert_eq!(format!("{:?}", key(KEY)), "[secret]");
        for text in ["", "short", &KEY[..40], "not base64url at all, whatever its length is!"] {
            assert!(MessageKey::parse(&Secret::new(text)).is_none(), "{text:?}");
        }
        assert!(MessageKey::parse(&Secret::new(format!("\"{KEY}\"\n"))).is_some());
    }

    proptest! {
        #[test]
        fn anything_that_strangers_send_is_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.expect("a runtime");
            prop_assert_eq!(runtime.block_on(envelope().open(&body, NOW)), Err(Unopened::Unreadable));
            let wrapped = STANDARD.encode(URL_SAFE.encode(&body));
            let refused = runtime.block_on(envelope().open(wrapped.as_bytes(), NOW));
            prop_assert_eq!(refused, Err(Unopened::Unreadable));
        }
    }
}
