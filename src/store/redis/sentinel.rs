//! The master that sentinels name.
//!
//! Sentinels may disagree: one that is cut off still names a master that the others have given up.
//! So the master is the server that a majority of *all* configured sentinels names, and that calls
//! itself a master, within the last second; without one there is no connection and no answer. A
//! gate that is cut off together with an old master says no, instead of yes from that master's old
//! data.
//!
//! The sentinels are not asked while the store is not used; the subscriptions for invalidation ask
//! about every second.
//!
//! In a failover there are two masters for a while: the replica is promoted, and the old master
//! takes writes until a sentinel stops it. These writes are lost. So a write that must not be lost
//! is acknowledged when a replica has it. Where none has it, the sentinels are asked again until
//! one of three things happens. A replica has it after all. Or another master is named, which fails
//! the write. Or the same master is still named after the longest time that a failover takes
//! ([`FAILOVER_TIME`]): then there is no replica, and the write is acknowledged with a line in the
//! log. All writes that wait share the answers.
//!
//! Two cases are left to the administrator (`min-replicas-to-write`): a replica that was out of
//! reach for longer is promoted later; of several replicas, one is promoted that does not have a
//! write that another has.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::Address;
use super::cached_topology::{CachedTopology, TopologyAge};
use super::connector::{Durability, Link, Role};
use super::server::Server;
use super::target::{Access, HostPort};
use super::{Failure, Options, Primaries};

/// The time that a sentinel has to be reached, and to answer; one of them may be gone.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(300);
/// The longest time from the promotion of a replica until a majority of the sentinels names it: the
/// sentinel that promotes it asks it once a second whether it is a master, and then tells the
/// others. Shorter than the time that a change of the store may take, so that a change can wait for
/// it.
const FAILOVER_TIME: Duration = Duration::from_millis(1_500);
/// The interval at which they are asked meanwhile.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// The master, found by its sentinels.
pub(super) struct Sentinel {
    sentinels: Vec<Arc<Server>>,
    name: String,
    access: Access,
    options: Options,
    topology: CachedTopology<Master>,
}

#[derive(Debug)]
struct Master {
    at: HostPort,
    server: Server,
}

impl Sentinel {
    /// Prepares everything; no server is asked before the first use.
    pub(super) fn new(
        sentinels: &[Address],
        name: String,
        access: Access,
        options: &Options,
    ) -> Self {
        let short = Options {
            connect_timeout: options.connect_timeout.min(SENTINEL_TIMEOUT),
            response_timeout: options.response_timeout.min(SENTINEL_TIMEOUT),
            max_connections: 1,
            ..options.clone()
        };
        let server = |at: &Address| Arc::new(Server::new(at, Role::Any, &short));
        let sentinels = sentinels.iter().map(server).collect();
        Self { sentinels, name, access, options: options.clone(), topology: CachedTopology::new() }
    }

    /// A connection to the master.
    ///
    /// # Errors
    /// [`Failure`] where a majority names none, or it is not reached.
    pub(super) async fn link(self: &Arc<Self>, durability: Durability) -> Result<Link, Failure> {
        let link = self.master().await?.server.link_for(durability).await;
        if link.is_err() {
            self.topology.mark_stale();
        }
        link
    }

    /// Sends the master a command that must survive a failover.
    ///
    /// # Errors
    /// The error of the server or the connection; also where another server is the master now, so
    /// that the write may be lost.
    pub(super) async fn send_durable(&self, link: &mut Link, command: &Cmd) -> RedisResult<Value> {
        let (answer, is_replicated) = link.send(command).await?;
        if !is_replicated {
            self.await_replication(link, Instant::now()).await?;
        }
        Ok(answer)
    }

    /// Waits until everything that was written and answered before that moment is either on a
    /// replica, or with a master that no other has replaced.
    async fn await_replication(&self, link: &mut Link, answered: Instant) -> RedisResult<()> {
        let deadline = answered + FAILOVER_TIME;
        let mut since = answered;
        loop {
            let named = self.topology.refresh_since(since, self.resolve_master()).await;
            if link.is_retired() {
                let why = "the master changed while it was written; it has to be done again";
                return Err((ErrorKind::Io, why).into());
            }
            if since == deadline {
                named?;
                link.warn_unreplicated();
                return Ok(());
            }
            if link.was_replicated().await {
                return Ok(());
            }
            // An answer that others get while this one sleeps counts here too, but is the last one.
            let now = Instant::now();
            since = if now + ASK_INTERVAL < deadline { now } else { deadline };
            tokio::time::sleep_until(deadline.min(now + ASK_INTERVAL)).await;
        }
    }

    /// The master, for a subscription.
    pub(super) async fn node(self: &Arc<Self>) -> Result<Primaries, Failure> {
        let limit = self.options.connect_timeout;
        let asked = self.topology.new_answer(limit, self.resolve_master()).await;
        let is_confirmed = asked.is_some();
        let master = match asked {
            Some(master) => master,
            None => self.master().await?,
        };
        Ok(Primaries { nodes: vec![master.server.node().clone()], is_confirmed })
    }

    async fn master(self: &Arc<Self>) -> Result<Arc<Master>, Failure> {
        match self.topology.age(Instant::now()) {
            TopologyAge::Fresh(master) => Ok(master),
            TopologyAge::Stale(master) => {
                let this = Arc::clone(self);
                tokio::spawn(async move {
                    let refreshed = this.topology.refresh(this.resolve_master()).await;
                    this.topology.refresh_ended();
                    if let Err(error) = refreshed {
                        tracing::warn!(master = this.name, %error, "the sentinels name no master");
                    }
                });
                Ok(master)
            }
            TopologyAge::Expired => {
                let refreshing = self.topology.refresh(self.resolve_master());
                let refreshed =
                    tokio::time::timeout(self.options.connect_timeout, refreshing).await;
                refreshed.unwrap_or(Err(Failure::TimedOut))
            }
        }
    }

    async fn resolve_master(&self) -> Result<Arc<Master>, Failure> {
        let at = self.ask_majority().await?;
        let known = self.topology.last();
        let master = match &known {
            Some(master) if master.at == at && !master.server.is_retired() => Arc::clone(master),
            known => {
                if let Some(master) = known {
                    master.server.retire();
                }
                let address = self.access.address_of(&at);
                let address = address.map_err(|error| Failure::Unavailable(error.to_string()))?;
                let server = Server::new(&address, Role::Master, &self.options);
                Arc::new(Master { at, server })
            }
        };
        master.server.link().await?.check_master().await.map_err(|error| Failure::of(&error))?;
        if known.is_none_or(|known| known.at != master.at) {
            tracing::info!(master = self.name, at = %master.at, "the sentinels name a master");
        }
        Ok(master)
    }

    async fn ask_majority(&self) -> Result<HostPort, Failure> {
        let needed = self.sentinels.len() / 2 + 1;
        let mut asking = JoinSet::new();
        for sentinel in &self.sentinels {
            asking.spawn(ask(Arc::clone(sentinel), self.name.clone()));
        }
        let mut votes: HashMap<HostPort, usize> = HashMap::new();
        let mut why = None;
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok(Ok(at)) => {
                    let votes_of_it = votes.entry(at.clone()).or_default();
                    *votes_of_it += 1;
                    if *votes_of_it >= needed {
                        return Ok(at);
                    }
                }
                Ok(Err(failure)) => why = Some(failure),
                Err(_) => {}
            }
        }
        let why = why.map_or_else(|| "they disagree".to_owned(), |why| format!("one says: {why}"));
        Err(Failure::Unavailable(format!("no majority of the sentinels names a master; {why}")))
    }
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sentinel({} of {})", self.name, self.sentinels.len())
    }
}

/// Asks a sentinel for the master.
async fn ask(sentinel: Arc<Server>, name: String) -> Result<HostPort, Failure> {
    let mut link = sentinel.link().await.map_err(of_sentinel)?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(name);
    let answer: RedisResult<Option<(String, u16)>> = command.query_async(&mut link).await;
    let (host, port) = answer
        .map_err(|error| of_sentinel(Failure::of(&error)))?
        .ok_or_else(|| Failure::Unavailable("it knows no master of that name".to_owned()))?;
    Ok(HostPort { host, port })
}

/// The failure of a sentinel: sentinels have a password of their own.
fn of_sentinel(failure: Failure) -> Failure {
    match failure {
        Failure::Refused => Failure::Unavailable(
            "it refuses sentinel_username or sentinel_password of DB_URL".to_owned(),
        ),
        other => other,
    }
}
