//! The servers of a cluster, and which of them keeps a key.
//!
//! A command goes to the server that keeps the slot of its key, by the cluster's own map. A server
//! that does not keep it (any more) does not carry it out, and names the server that does. That is
//! the only reason to send a command twice: one that got no answer may have been carried out, and
//! is reported as failed. Each server has connections of its own, so that one that is slow or
//! frozen delays only its own keys. The `redis` crate's cluster connection sends unanswered
//! commands again, and lets all callers wait while it learns a new map.
//!
//! The map is believed for a second. A primary that the others have given up stops answering by
//! itself, after its `cluster-node-timeout` without a majority.

mod map;
mod redirection;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_utils::atomic::AtomicCell;
use redis::aio::ConnectionLike as _;
use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cached_topology::{CachedTopology, TopologyAge};
use super::connector::{Durability, Link, Role};
use super::server::Server;
use super::target::{Access, HostPort};
use super::{Failure, Options, Primaries};
use map::Map;
pub(super) use map::slot_of;
use redirection::Redirection;

/// The time that the other servers have to send their maps after the first one.
const GRACE: Duration = Duration::from_millis(20);
/// The most redirections of a command; with more, the cluster counts as confused.
const MAX_REDIRECTIONS: usize = 5;

/// The time for which a change of who keeps what may leave something untold: longer than anything is believed that is not
/// read again.
const UNSETTLED: Duration = Duration::from_mins(3);

/// A cluster.
pub(super) struct Cluster {
    seeds: Vec<HostPort>,
    access: Access,
    options: Options,
    topology: CachedTopology<Map>,
    /// The last time that slots were seen to move: the map changed, or named another server than the one that has the key.
    moved: AtomicCell<Option<Instant>>,
    servers: Mutex<HashMap<HostPort, Arc<Server>>>,
}

impl Cluster {
    /// Prepares everything; no server is asked before the first use.
    pub(super) fn new(seeds: Vec<HostPort>, access: Access, options: &Options) -> Self {
        let (options, topology) = (options.clone(), CachedTopology::new());
        let moved = AtomicCell::new(None);
        Self { seeds, access, options, topology, moved, servers: Mutex::default() }
    }

    /// Sends a command to the server that keeps its key.
    pub(super) async fn send(
        self: &Arc<Self>,
        command: &Cmd,
        durability: Durability,
    ) -> RedisResult<Value> {
        self.in_time(self.route(command, durability)).await
    }

    /// Sends each command of a pipeline to the server that keeps its key, to all of them at once.
    /// Commands about one slot keep their order, unless the slot moves just then.
    pub(super) async fn send_all(self: &Arc<Self>, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        if pipeline.is_transaction() {
            return Err((ErrorKind::Client, "there are no transactions on a cluster").into());
        }
        self.in_time(self.route_all(pipeline)).await
    }

    /// A connection to each server that holds keys.
    ///
    /// # Errors
    /// [`Failure`] where one of them is not reached.
    pub(super) async fn links(self: &Arc<Self>) -> Result<Vec<Link>, Failure> {
        let mut links = Vec::new();
        for primary in self.map().await?.primaries() {
            links.push(self.server(primary)?.link().await?);
        }
        Ok(links)
    }

    /// The servers that hold keys, for subscriptions.
    pub(super) async fn nodes(self: &Arc<Self>) -> Result<Primaries, Failure> {
        let limit = self.options.connect_timeout;
        let asked = self.topology.new_answer(limit, self.fetch_map()).await;
        // A server that was cut off from most others names itself for ever. While slots move, keys may be at a server that
        // nobody follows yet, and one that gives up a slot need not tell of its keys.
        let is_settled = || self.moved.load().is_none_or(|at| at.elapsed() > UNSETTLED);
        let is_confirmed = asked.as_ref().is_some_and(|map| map.is_sound()) && is_settled();
        let map = match asked {
            Some(map) => map,
            None => self.map().await?,
        };
        let nodes = map.primaries().iter().map(|at| Ok(self.server(at)?.node().clone()));
        Ok(Primaries { nodes: nodes.collect::<Result<_, Failure>>()?, is_confirmed })
    }

    /// Checks that a map of the cluster is known.
    pub(super) async fn check(self: &Arc<Self>) -> Result<(), Failure> {
        self.map().await.map(drop)
    }

    async fn route(self: &Arc<Self>, command: &Cmd, durability: Durability) -> RedisResult<Value> {
        let slot = slot_of(key_of(command)?);
        let mut at = self.map().await?.owner(slot)?.clone();
        let (mut is_moving, mut redirections) = (false, 0);
        loop {
            let answer = self.send_to(&at, command, is_moving, durability).await;
            let redirection = Redirection::of(&answer, &at);
            if redirection.is_some() {
                // Before the other server is asked.
                self.moved.store(Some(Instant::now()));
            }
            match redirection {
                None => return answer,
                Some(_) if redirections == MAX_REDIRECTIONS => return answer,
                Some(Redirection::Moved(to)) => {
                    self.topology.mark_stale();
                    (at, is_moving, redirections) = (to, false, redirections + 1);
                }
                Some(Redirection::Ask(to)) => {
                    (at, is_moving, redirections) = (to, true, redirections + 1);
                }
            }
        }
    }

    async fn send_to(
        &self,
        at: &HostPort,
        command: &Cmd,
        asking: bool,
        durability: Durability,
    ) -> RedisResult<Value> {
        let mut link = self.link(at, durability).await?;
        let answer = if asking {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ASKING").add_command(command.clone());
            let answers = link.req_packed_commands(&pipeline, 1, 1).await;
            answers.map(|mut answers| answers.pop().unwrap_or(Value::Nil))
        } else {
            link.req_packed_command(command).await
        };
        self.mark_stale_on(&answer);
        answer
    }

    async fn route_all(self: &Arc<Self>, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let map = self.map().await?;
        let mut parts: HashMap<HostPort, (Vec<usize>, Pipeline)> = HashMap::new();
        for (at, command) in pipeline.cmd_iter().enumerate() {
            let owner = map.owner(slot_of(key_of(command)?))?;
            let (places, part) = parts.entry(owner.clone()).or_default();
            places.push(at);
            part.add_command(command.clone());
        }
        let mut sending = JoinSet::new();
        for (at, (places, part)) in parts {
            let this = Arc::clone(self);
            sending.spawn(async move {
                let mut link = this.link(&at, Durability::PrimaryOnly).await?;
                let answers = link.req_packed_commands(&part, 0, part.len()).await;
                this.mark_stale_on(&answers);
                Ok::<_, RedisError>((at, places, answers?))
            });
        }
        let mut answers = vec![Value::Nil; pipeline.len()];
        let mut redirected = Vec::new();
        while let Some(part) = sending.join_next().await {
            let (at, places, part) = part.map_err(|_| interrupted())??;
            for (place, answer) in places.into_iter().zip(part) {
                let answer = Ok(answer);
                if Redirection::of(&answer, &at).is_some() {
                    redirected.push(place);
                } else if let (Ok(answer), Some(slot)) = (answer, answers.get_mut(place)) {
                    *slot = answer;
                }
            }
        }
        redirected.sort_unstable();
        for (place, command) in pipeline.cmd_iter().enumerate() {
            if redirected.binary_search(&place).is_ok() {
                answers[place] = self.route(command, Durability::PrimaryOnly).await?;
            }
        }
        Ok(answers)
    }

    /// Bounds a command: it takes no longer than to connect and to answer, with all redirections.
    async fn in_time<T>(&self, sending: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        let limit = self.options.connect_timeout.saturating_add(self.options.response_timeout);
        let sent = tokio::time::timeout(limit, sending).await;
        sent.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    async fn link(&self, at: &HostPort, durability: Durability) -> RedisResult<Link> {
        let link = self.server(at)?.link_for(durability).await;
        if link.is_err() {
            self.topology.mark_stale();
        }
        Ok(link?)
    }

    /// Marks the map as stale where the server is gone, or says that the cluster is down.
    fn mark_stale_on<T>(&self, answer: &RedisResult<T>) {
        if answer.as_ref().is_err_and(|error| error.is_io_error() || error.is_cluster_error()) {
            self.topology.mark_stale();
        }
    }

    fn server(&self, at: &HostPort) -> Result<Arc<Server>, Failure> {
        // Nothing that can panic runs under the lock.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.get(at) {
            return Ok(Arc::clone(server));
        }
        let address = self.access.address_of(at);
        let address = address.map_err(|error| Failure::Unavailable(error.to_string()))?;
        let server = Arc::new(Server::new(&address, Role::Any, &self.options));
        servers.insert(at.clone(), Arc::clone(&server));
        Ok(server)
    }

    async fn map(self: &Arc<Self>) -> Result<Arc<Map>, Failure> {
        match self.topology.age(Instant::now()) {
            TopologyAge::Fresh(map) => Ok(map),
            TopologyAge::Stale(map) => {
                let this = Arc::clone(self);
                tokio::spawn(async move {
                    let refreshed = this.topology.refresh(this.fetch_map()).await;
                    this.topology.refresh_ended();
                    if let Err(error) = refreshed {
                        tracing::warn!(%error, "no server of the cluster says who keeps what");
                    }
                });
                Ok(map)
            }
            TopologyAge::Expired => {
                let refreshing = self.topology.refresh(self.fetch_map());
                let refreshed =
                    tokio::time::timeout(self.options.connect_timeout, refreshing).await;
                refreshed.unwrap_or(Err(Failure::TimedOut))
            }
        }
    }

    /// Asks all known servers, and believes the one that has seen the latest change.
    async fn fetch_map(&self) -> Result<Arc<Map>, Failure> {
        let known = self.topology.last();
        let mut whom = self.seeds.clone();
        whom.extend(known.iter().flat_map(|map| map.primaries()).cloned());
        whom.sort();
        whom.dedup();
        let mut asking = JoinSet::new();
        for at in whom {
            asking.spawn(map::fetch(self.server(&at)?, at));
        }
        let mut latest: Option<Map> = None;
        let mut why = Failure::Unavailable("no server of the cluster answers".to_owned());
        let mut deadline = None;
        loop {
            let next = match deadline {
                None => asking.join_next().await,
                Some(at) => tokio::time::timeout_at(at, asking.join_next()).await.unwrap_or(None),
            };
            match next {
                None => break,
                Some(Ok(Ok(map))) => {
                    deadline.get_or_insert(Instant::now() + GRACE);
                    if latest.as_ref().is_none_or(|latest| map.is_newer_than(latest)) {
                        latest = Some(map);
                    }
                }
                Some(Ok(Err(failure))) => why = failure,
                Some(Err(_)) => {}
            }
        }
        let map = latest.ok_or(why)?;
        if known.as_ref().is_some_and(|known| !known.is_same_as(&map)) {
            self.moved.store(Some(Instant::now()));
        }
        if known.is_none_or(|known| known.primaries() != map.primaries()) {
            let primaries: Vec<_> = map.primaries().iter().map(ToString::to_string).collect();
            tracing::info!(primaries = primaries.join(","), "the servers of the cluster");
        }
        self.forget_all_but(&map);
        Ok(Arc::new(map))
    }

    fn forget_all_but(&self, map: &Map) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|at, _| map.primaries().contains(at) || self.seeds.contains(at));
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({:?})", self.topology.last())
    }
}

/// The key by which a command finds its server.
fn key_of(command: &Cmd) -> RedisResult<&[u8]> {
    let mut arguments = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes,
        _ => b"",
    });
    let name = arguments.next().unwrap_or_default();
    let is_script = [b"EVAL".as_slice(), b"EVALSHA"].contains(&name);
    // A script is followed by its code and the number of its keys.
    let key = if is_script { arguments.nth(2) } else { arguments.next() };
    key.ok_or_else(|| (ErrorKind::Client, "a command without a key has no server").into())
}

fn interrupted() -> RedisError {
    io::Error::other("the process ends").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        let mut script = redis::cmd("EVALSHA");
        script.arg("hash").arg(2).arg("one").arg("two").arg("argument");
        assert_eq!(key_of(&script).ok(), Some(b"one".as_slice()));
        let mut get = redis::cmd("GET");
        get.arg("one");
        assert_eq!(key_of(&get).ok(), Some(b"one".as_slice()));
        assert!(key_of(&redis::cmd("PING")).is_err());
    }
}
