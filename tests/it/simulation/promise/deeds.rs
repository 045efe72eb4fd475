//! What is begun, moved and ended while the gates are asked.

use std::{sync::Arc, time::Duration};

use portcullis::{
    clock::Clock as _,
    opaque::TokenDigest,
    session::{SessionId, UserId},
};

use super::{Scene, session_name};
use crate::simulation::judge::Credential;

/// How often somebody tries again what failed.
const TRIES: usize = 4;

impl Scene {
    pub(super) async fn end_session(self: &Arc<Self>) {
        let number = self.any_that_lives().session;
        if self.world.judge.session(number).opened.is_none() {
            return;
        }
        let of_session = self.of(|credential| credential.session == number);
        self.warm(&of_session).await;
        let process = Arc::clone(self.any_gate());
        let judge = &self.world.judge;
        let id = SessionId::parse(&session_name(number)).expect("a name");
        judge.threaten_session(number);
        for _ in 0..TRIES {
            let revoked = process.awake(process.sessions.revoke(&id)).await;
            let now = self.world.stamp();
            judge.stirred(&format!("session:{id}"), process.number, now);
            if revoked.is_ok() {
                self.world.note(process.number, "has ended", id.as_str());
                judge.session_over(number, process.number, now);
                return self.probe(&of_session);
            }
        }
    }

    pub(super) async fn end_user(self: &Arc<Self>) {
        let user = self.any_user();
        let (judge, is_of) = (&self.world.judge, |credential: &Credential| {
            self.world.judge.session(credential.session).user == user
        });
        self.warm(&self.of(is_of)).await;
        let process = Arc::clone(self.any_gate());
        judge.threaten_user(user);
        if self.world.chance.percent(60) {
            // Somebody logs in meanwhile.
            let scene = Arc::clone(self);
            self.spawn(async move { scene.begin(user).await });
            self.world.travel(self.up_to(Duration::from_millis(3))).await;
        }
        let owner = UserId::parse(user).expect("a name");
        for _ in 0..TRIES {
            judge.threaten_user(user);
            let since = self.world.clock.now();
            let ended = process.awake(process.sessions.revoke_user(&owner)).await;
            let now = self.world.stamp();
            judge.stirred(&format!("user:{user}"), process.number, now);
            if ended.is_ok() {
                self.world.note(process.number, "has ended all of", user);
                judge.user_over(user, since, process.number, now);
                return self.probe(&self.of(is_of));
            }
        }
    }

    /// A session is opened, perhaps by a host whose clock is ahead, and shown before it is known to be.
    pub(super) async fn begin(self: &Arc<Self>, user: &str) {
        let world = &self.world;
        let ahead = world.chance.pick(&[0, 0, 0, 40]);
        let created = world.clock.now().after(Duration::from_millis(ahead));
        let Some((number, session)) = self.new_session(user, created) else { return };
        let process = Arc::clone(self.any_gate());
        let put = process.awake(process.sessions.put(&session)).await;
        if put.is_ok() {
            world.judge.session_opened(number, world.stamp());
        }
        self.warm(&self.of(|credential| credential.session == number)).await;
    }

    pub(super) async fn renew(&self) {
        let number = self.any_that_lives().session;
        let life = self.world.judge.session(number);
        let process = self.any_gate();
        let id = SessionId::parse(&life.name).expect("a name");
        let expires = life.expires.max(self.world.clock.now()).after(self.plan.bound());
        let renewed = process.sessions.renew(&id, expires);
        // Whoever renews has asked before whether it lives.
        if life.expires > self.world.clock.now() {
            let _ = process.awake(renewed).await;
        }
    }

    pub(super) async fn change_handle(self: &Arc<Self>) {
        let handles = self.of(|credential| credential.handle.is_some());
        let Some(handle) = handles.get(self.world.chance.index(handles.len().max(1))) else {
            return;
        };
        let number = handle.handle.expect("it is one");
        let process = Arc::clone(self.any_gate());
        let (world, judge) = (&self.world, &self.world.judge);
        let digest = TokenDigest::of(&handle.text);
        if world.chance.percent(30) {
            let expires = world.clock.now().after(self.plan.lasts() * 2);
            if judge.handle(number).expires > world.clock.now() {
                let _ = process.awake(process.tokens.extend(&digest, expires, None)).await;
            }
            return;
        }
        self.warm(std::slice::from_ref(handle)).await;
        judge.threaten_handle(number);
        let is_exchanged = world.chance.percent(50);
        for _ in 0..TRIES {
            let is_over = if is_exchanged {
                let exchanged = process.tokens.exchange(&digest, world.clock.now(), &[]);
                process.awake(exchanged).await.is_ok()
            } else {
                process.awake(process.tokens.remove(&digest)).await.is_ok()
            };
            let now = world.stamp();
            judge.stirred(&format!("token:{}", digest.name()), process.number, now);
            if is_over {
                world.note(process.number, "has ended the handle", &digest.name());
                judge.handle_over(number, process.number, now);
                return self.probe(std::slice::from_ref(handle));
            }
        }
    }
}
