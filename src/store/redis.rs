//! Redis and compatible servers (Valkey, Dragonfly), over TCP, TLS or a unix socket: one server,
//! the master that sentinels name, or a cluster.
//!
//! A connection carries the commands of many callers at once, so a caller clones it out of the pool
//! and returns its place at once. A broken connection is noticed when it breaks (RESP3 pushes a
//! disconnection) or at the first command that fails or gets no answer in time, and is replaced at
//! the next checkout. A command that may have been carried out is never sent twice. The pools do
//! nothing without a caller; the subscriptions for invalidation do.

mod address;
mod cached_topology;
mod changes;
mod cluster;
mod connection;
mod connector;
mod failure;
mod invalidation;
mod keys;
mod node;
mod replicas;
mod scan;
mod script;
mod sentinel;
mod server;
mod target;
mod write_probe;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::store::Failure;
pub use address::InvalidAddress;
use changes::Channel;
use cluster::Cluster;
pub use connection::Connection;
use connector::{Durability, Role};
pub(crate) use failure::about;
pub use invalidation::RedisInvalidation;
pub use keys::{Keys, Slot};
pub use node::Node;
pub use scan::{BATCH, Scan};
pub(crate) use script::MOVE_END;
pub use script::{Call, Script, invoke_all};
use sentinel::Sentinel;
use server::Server;
use target::Target;

/// The time for which a record is kept after its end, in milliseconds: one hour.
const MARGIN: u64 = 3_600_000;
/// The longest time to live that is asked for, in milliseconds: one century.
pub const LONGEST: u64 = 3_155_760_000_000;

/// The time to live of a record that is in use from `from` until `until`, in milliseconds. It
/// counts from the time of writing, so that no two clocks are compared.
pub fn time_to_live(from: UnixTime, until: UnixTime) -> u64 {
    let length = until.as_millis().saturating_sub(from.as_millis());
    length.saturating_add(MARGIN).min(LONGEST)
}

/// The servers that hold the keys.
#[derive(Debug)]
pub struct Primaries {
    /// All of them, in any order.
    pub nodes: Vec<Node>,
    /// True where this was said after the question, and no slot of a cluster moved lately.
    pub is_confirmed: bool,
}

/// The settings of a Redis's connections.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of the database; it wins over the URL's.
    pub database: u32,
    /// The certificates of the CAs that may have signed the server's, in PEM; without it the
    /// system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The time from the first packet until the server has accepted name, password and database.
    pub connect_timeout: Duration,
    /// The time for the answer to one command or one pipeline. A caller with a deadline of its own
    /// sets this a little shorter, so that a dead connection is noticed rather than abandoned.
    pub response_timeout: Duration,
    /// At most this many connections, which is not the number of commands under way.
    pub max_connections: u32,
}

impl Default for Options {
    /// Database 0, the system's CAs, 1 s to connect, 500 ms to answer, 4 connections.
    fn default() -> Self {
        Self {
            database: 0,
            ca_pem: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
            max_connections: 4,
        }
    }
}

/// A Redis. A clone has the same connections.
#[derive(Clone)]
pub struct Redis {
    topology: Topology,
    database: u32,
    name: Arc<str>,
    channel: Arc<Channel>,
}

/// The servers that hold the keys.
#[derive(Clone)]
enum Topology {
    Server(Arc<Server>),
    Sentinel(Arc<Sentinel>),
    Cluster(Arc<Cluster>),
}

/// Checks whether such a Redis can be used, without connecting. Returns its name for logs.
///
/// # Errors
/// [`InvalidAddress`] where the URL or the CA cannot be used.
pub fn check(url: &Secret, options: &Options) -> Result<String, InvalidAddress> {
    let target = Target::parse(url, options.database, options.ca_pem.as_deref())?;
    Ok(target.name(options.database))
}

impl Redis {
    /// Prepares the connections; nothing is connected before the first use.
    ///
    /// # Errors
    /// [`InvalidAddress`] where the URL or the CA cannot be used.
    pub fn new(url: &Secret, options: &Options) -> Result<Self, InvalidAddress> {
        let database = options.database;
        let target = Target::parse(url, database, options.ca_pem.as_deref())?;
        let name = target.name(database).into();
        let topology = match target {
            Target::Server(at) => Topology::Server(Arc::new(Server::new(&at, Role::Any, options))),
            Target::Sentinel { sentinels, master, access } => {
                Topology::Sentinel(Arc::new(Sentinel::new(&sentinels, master, access, options)))
            }
            Target::Cluster { seeds, access } => {
                Topology::Cluster(Arc::new(Cluster::new(seeds, access, options)))
            }
        };
        Ok(Self { topology, database, name, channel: Arc::new(Channel::of(database)) })
    }

    /// The time for which a server that is no longer the master may still be asked: others may have
    /// made changes elsewhere since.
    pub fn lag(&self) -> Duration {
        match self.topology {
            Topology::Sentinel(_) => cached_topology::EXPIRED_AFTER,
            Topology::Server(_) | Topology::Cluster(_) => Duration::ZERO,
        }
    }

    /// A connection that others use at the same time. Cheap where one is there.
    ///
    /// # Errors
    /// [`Failure`] as soon as an attempt to connect failed, or none came in time.
    pub async fn connection(&self) -> Result<Connection, Failure> {
        self.connection_for(Durability::PrimaryOnly).await
    }

    /// The same for commands that must survive a failover, where there may be one. A command that
    /// is sent alone is answered when a replica has it too, or when no replica can be expected.
    /// Only for few commands, since they wait for each other, and only for commands that may be
    /// repeated: one fails that was carried out by a server that another has replaced.
    ///
    /// # Errors
    /// As of [`Self::connection`].
    pub async fn durable_connection(&self) -> Result<Connection, Failure> {
        self.connection_for(Durability::Replicated).await
    }

    async fn connection_for(&self, durability: Durability) -> Result<Connection, Failure> {
        match &self.topology {
            Topology::Server(server) => server.link().await.map(Connection::to_server),
            Topology::Sentinel(sentinel) => {
                let link = sentinel.link(durability).await?;
                Ok(match durability {
                    Durability::PrimaryOnly => Connection::to_server(link),
                    Durability::Replicated => Connection::to_master(Arc::clone(sentinel), link),
                })
            }
            Topology::Cluster(cluster) => {
                cluster.check().await?;
                Ok(Connection::to_cluster(Arc::clone(cluster), durability))
            }
        }
    }

    /// A connection to each server that holds keys, for commands that name no key.
    ///
    /// # Errors
    /// [`Failure`] where one of them is not reached.
    pub async fn everywhere(&self) -> Result<Vec<Connection>, Failure> {
        match &self.topology {
            Topology::Cluster(cluster) => {
                Ok(cluster.links().await?.into_iter().map(Connection::to_server).collect())
            }
            _ => Ok(vec![self.connection().await?]),
        }
    }

    /// The servers that hold the keys now, for subscriptions to each of them. They may change at
    /// any moment: ask again about every second, and whenever one of them is lost. Where nobody
    /// says so now, it is what was said within the last second.
    ///
    /// # Errors
    /// [`Failure`] where they are not known.
    pub async fn primaries(&self) -> Result<Primaries, Failure> {
        match &self.topology {
            Topology::Server(server) => {
                Ok(Primaries { nodes: vec![server.node().clone()], is_confirmed: true })
            }
            Topology::Sentinel(sentinel) => sentinel.node().await,
            Topology::Cluster(cluster) => cluster.nodes().await,
        }
    }

    /// Returns whether keys are spread over many servers, so that two of them may be on different
    /// ones.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Its name for logs: address and database number, no credentials.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.name)
    }
}
