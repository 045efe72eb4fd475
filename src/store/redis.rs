//! Redis and what speaks like it (Valkey, Dragonfly), over TCP, TLS or a unix socket: one server,
//! the master that sentinels name, or a cluster.
//!
//! A connection carries the commands of many callers at once, so a caller clones it out of the
//! pool and lets go of its place at once. A broken connection is noticed when it breaks (RESP3
//! pushes a disconnection) or at the first command that fails or gets no answer in time, and is
//! replaced at the next checkout; no command is ever sent twice that may have been carried out.
//! The pools do nothing while nobody asks; who follows the invalidation does.

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

/// How long a record is kept after its end, in milliseconds: one hour.
const MARGIN: u64 = 3_600_000;
/// The longest time to live that is asked for, in milliseconds: one century.
pub const LONGEST: u64 = 3_155_760_000_000;

/// For how long a record that is of use from then until then should be kept, in milliseconds,
/// counted from when it is written, so that no two clocks are compared.
pub fn time_to_live(from: UnixTime, until: UnixTime) -> u64 {
    let length = until.as_millis().saturating_sub(from.as_millis());
    length.saturating_add(MARGIN).min(LONGEST)
}

/// How a Redis is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// The number of the database, whatever the URL says.
    pub database: u32,
    /// The certificates of the CAs that may have signed the server's, in PEM; without it the
    /// system's.
    pub ca_pem: Option<Vec<u8>>,
    /// From the first packet until the server has accepted name, password and database.
    pub connect_timeout: Duration,
    /// For the answer to one command or one pipeline. A caller with a deadline of its own sets
    /// this a little shorter, so that a dead connection is noticed rather than abandoned.
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

/// Which servers keep the keys.
#[derive(Clone)]
enum Topology {
    Server(Arc<Server>),
    Sentinel(Arc<Sentinel>),
    Cluster(Arc<Cluster>),
}

/// Whether such a Redis could be asked for, without asking; how logs call it.
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

    /// For how long a server may still be asked that is no master any more: others may have made
    /// changes elsewhere since.
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

    /// The same for commands that must survive a failover, where there may be one: what
    /// is sent alone is answered when one of these has it too, or none can be hoped for. For few
    /// commands, which wait for each other, and which may be sent again where they fail: one fails
    /// that was carried out by a server whose place another has taken.
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

    /// A connection to each server that keeps keys, for what is about no key.
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

    /// The servers that hold the keys now, for who listens to each of them. They may be others in
    /// a moment: ask again about every second, and whenever one of them is lost.
    ///
    /// # Errors
    /// [`Failure`] where nobody says which they are.
    pub async fn primaries(&self) -> Result<Vec<Node>, Failure> {
        match &self.topology {
            Topology::Server(server) => Ok(vec![server.node().clone()]),
            Topology::Sentinel(sentinel) => Ok(vec![sentinel.node().await?]),
            Topology::Cluster(cluster) => cluster.nodes().await,
        }
    }

    /// Whether keys are spread over many servers, so that two of them may be on different ones.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// Where it is, for logs: address and database number, no credentials.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.name)
    }
}
