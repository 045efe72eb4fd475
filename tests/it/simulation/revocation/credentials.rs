//! Sessions and handles, and the credentials for them.

use std::time::Duration;

use portcullis::{
    clock::{Clock as _, UnixTime},
    opaque::{self, OpaqueToken, OpaqueTokenStore as _, TokenDigest, TokenKind},
    session::{Session, SessionId, SessionStore as _, UserId},
};
use serde_json::json;

use super::{SESSIONS, Scenario, USERS, session_name};
use crate::simulation::{
    oracle::Credential,
    process::{ISS, KEY},
    time::START,
};

impl Scenario {
    /// A session that nobody has opened yet, and what is shown for it.
    pub(super) fn new_session(&self, user: &str, created: UnixTime) -> Option<(usize, Session)> {
        let rng = &self.cluster.rng;
        let duration = self.plan.duration();
        // Some end within the run.
        let lives = if rng.percent(30) { self.up_to(duration) } else { duration * 4 };
        let expires = created.after(lives + Duration::from_millis(1));
        let mut credentials = self.credentials.lock().expect("never poisoned");
        let number = credentials.last().map_or(0, |last| last.session + 1);
        if number >= SESSIONS.1 {
            return None;
        }
        let id = session_name(number);
        self.cluster.oracle.add_session(&id, user, created, expires);
        let exp = if rng.percent(10) { duration / 2 } else { duration * 6 };
        let exp = UnixTime::from_secs(self.cluster.clock.now().after(exp).as_secs());
        let claims = json!({"iss": ISS, "aud": ISS, "sub": user, "sid": id, "exp": exp.as_secs()});
        let text = KEY.sign(&claims).expect("a token");
        credentials.push(Credential { text, session: number, handle: None, expires: exp });
        let session = Session {
            last_seen: created.before(Duration::from_secs(90)),
            ..Session::new(
                SessionId::parse(&id).expect("a name"),
                UserId::parse(user).expect("a name"),
                created,
                expires,
            )
        };
        Some((number, session))
    }

    /// Opens the sessions of the start, with a token each, most of them with a handle beside it.
    pub(super) async fn open_initial_sessions(&self) {
        for number in 0..SESSIONS.0 {
            let user = USERS[number % USERS.len()];
            let created = START.before(Duration::from_secs(60));
            let Some((number, session)) = self.new_session(user, created) else { return };
            let expires = self.cluster.clock.now().after(self.plan.duration() * 4);
            // Those that end within the run do so within its time.
            let session =
                Session { expires: session.expires.after(Duration::from_secs(60)), ..session };
            self.cluster.oracle.session_renewed(&session.id, session.expires);
            self.cluster.store.sessions.put(&session).await.expect("memory answers");
            self.cluster.oracle.session_opened(number, self.cluster.stamp());
            if self.plan.only_handles || self.cluster.rng.percent(60) {
                self.add_handle(&session, number, expires).await;
            }
        }
        if self.plan.only_handles {
            self.credentials.lock().expect("never poisoned").retain(|c| c.handle.is_some());
        }
    }

    /// A new handle: half of them of those few that are believed until the very bound.
    fn handle_text(&self) -> String {
        let is_long = self.cluster.rng.percent(50);
        loop {
            let text = opaque::generate(&*self.cluster.rng).expect("random bytes");
            let text = text.expose_str().expect("text").to_owned();
            if !is_long || TokenDigest::of(&text).as_bytes()[0] < 4 {
                return text;
            }
        }
    }

    async fn add_handle(&self, session: &Session, number: usize, expires: UnixTime) {
        let text = self.handle_text();
        let digest = TokenDigest::of(&text);
        let claims = json!({"iss": ISS, "aud": ISS});
        let record = OpaqueToken {
            digest,
            kind: TokenKind::Handle,
            session: session.id.clone(),
            user: session.user.clone(),
            client: None,
            claims: claims.as_object().expect("an object").clone(),
            issued: START,
            expires,
            used: None,
        };
        self.cluster.store.tokens.put(&[record]).await.expect("memory answers");
        let handle = self.cluster.oracle.add_handle(digest, session.user.as_str(), expires);
        let expires = UnixTime::from_secs(u64::MAX);
        let handle = Credential { text, session: number, handle: Some(handle), expires };
        self.credentials.lock().expect("never poisoned").push(handle);
    }
}
