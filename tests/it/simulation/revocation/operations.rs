//! The operations: logins, renewals and ends, while the gates are asked.

use std::{sync::Arc, time::Duration};

use portcullis::{
    clock::Clock as _,
    opaque::TokenDigest,
    session::{SessionId, UserId},
};

use super::{Scenario, session_name};
use crate::simulation::oracle::Credential;

/// The number of attempts at an operation that fails.
const TRIES: usize = 4;

impl Scenario {
    pub(super) async fn end_session(self: &Arc<Self>) {
        let number = self.any_live_credential().session;
        if self.cluster.oracle.session(number).opened.is_none() {
            return;
        }
        let of_session = self.of(|credential| credential.session == number);
        self.warm_caches(&of_session).await;
        let process = Arc::clone(self.any_gate());
        let oracle = &self.cluster.oracle;
        let id = SessionId::parse(&session_name(number)).expect("a name");
        oracle.session_ending(number);
        for _ in 0..TRIES {
            let revoked = process.while_running(process.sessions.revoke(&id)).await;
            let now = self.cluster.stamp();
            oracle.change_seen(&format!("session:{id}"), process.number, now);
            if revoked.is_ok() {
                self.cluster.record(process.number, "has ended", id.as_str());
                oracle.session_end_acknowledged(number, process.number, now);
                return self.probe(&of_session);
            }
        }
    }

    pub(super) async fn end_user(self: &Arc<Self>) {
        let user = self.any_user();
        let (oracle, is_of) = (&self.cluster.oracle, |credential: &Credential| {
            self.cluster.oracle.session(credential.session).user == user
        });
        self.warm_caches(&self.of(is_of)).await;
        let process = Arc::clone(self.any_gate());
        oracle.user_ending(user);
        if self.cluster.rng.percent(60) {
            // Somebody logs in meanwhile.
            let scenario = Arc::clone(self);
            self.spawn(async move { scenario.log_in(user).await });
            self.cluster.travel(self.up_to(Duration::from_millis(3))).await;
        }
        let owner = UserId::parse(user).expect("a name");
        for _ in 0..TRIES {
            oracle.user_ending(user);
            let since = self.cluster.clock.now();
            let ended = process.while_running(process.sessions.revoke_user(&owner)).await;
            let now = self.cluster.stamp();
            oracle.change_seen(&format!("user:{user}"), process.number, now);
            if ended.is_ok() {
                self.cluster.record(process.number, "has ended all of", user);
                oracle.user_end_acknowledged(user, since, process.number, now);
                return self.probe(&self.of(is_of));
            }
        }
    }

    /// A session is opened, perhaps by a host whose clock is ahead, and shown before it is known to be.
    pub(super) async fn log_in(self: &Arc<Self>, user: &str) {
        let cluster = &self.cluster;
        let ahead = cluster.rng.pick(&[0, 0, 0, 40]);
        let created = cluster.clock.now().after(Duration::from_millis(ahead));
        let Some((number, session)) = self.new_session(user, created) else { return };
        let process = Arc::clone(self.any_gate());
        let put = process.while_running(process.sessions.put(&session)).await;
        if put.is_ok() {
            cluster.oracle.session_opened(number, cluster.stamp());
        }
        self.warm_caches(&self.of(|credential| credential.session == number)).await;
    }

    pub(super) async fn renew(&self) {
        let number = self.any_live_credential().session;
        let lifetime = self.cluster.oracle.session(number);
        let process = self.any_gate();
        let id = SessionId::parse(&lifetime.name).expect("a name");
        let expires = lifetime.expires.max(self.cluster.clock.now()).after(self.plan.bound());
        let renewed = process.sessions.renew(&id, expires);
        // Whoever renews has asked before whether it lives.
        if lifetime.expires > self.cluster.clock.now() {
            let _ = process.while_running(renewed).await;
        }
    }

    pub(super) async fn change_handle(self: &Arc<Self>) {
        let handles = self.of(|credential| credential.handle.is_some());
        let Some(handle) = handles.get(self.cluster.rng.index(handles.len().max(1))) else {
            return;
        };
        let number = handle.handle.expect("it is one");
        let process = Arc::clone(self.any_gate());
        let (cluster, oracle) = (&self.cluster, &self.cluster.oracle);
        let digest = TokenDigest::of(&handle.text);
        if cluster.rng.percent(30) {
            let expires = cluster.clock.now().after(self.plan.duration() * 2);
            if oracle.handle(number).expires > cluster.clock.now() {
                let _ = process.while_running(process.tokens.extend(&digest, expires, None)).await;
            }
            return;
        }
        self.warm_caches(std::slice::from_ref(handle)).await;
        oracle.handle_ending(number);
        let is_rotated = cluster.rng.percent(50);
        for _ in 0..TRIES {
            let is_over = if is_rotated {
                let rotated = process.tokens.rotate(&digest, cluster.clock.now(), &[]);
                process.while_running(rotated).await.is_ok()
            } else {
                process.while_running(process.tokens.remove(&digest)).await.is_ok()
            };
            let now = cluster.stamp();
            oracle.change_seen(&format!("token:{}", digest.name()), process.number, now);
            if is_over {
                cluster.record(process.number, "has ended the handle", &digest.name());
                oracle.handle_end_acknowledged(number, process.number, now);
                return self.probe(std::slice::from_ref(handle));
            }
        }
    }
}
