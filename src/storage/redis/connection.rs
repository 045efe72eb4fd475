//! What stores talk through, whether one server answers or many.

use std::fmt;
use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::cluster::Cluster;
use super::connector::{Lasting, Link};
use super::sentinel::Sentinel;

/// A connection; its clones share it.
///
/// Of a cluster every command finds its server by the key that it names first, a pipeline is taken
/// apart and put together again, its commands in no order but that of those about one slot, and a
/// transaction is refused.
#[derive(Clone)]
pub struct Connection(Way);

#[derive(Clone)]
enum Way {
    Server(Link),
    /// To the master, for what is to outlast it.
    Master(Arc<Sentinel>, Link),
    Cluster(Arc<Cluster>, Lasting),
}

impl Connection {
    pub(super) fn to_server(link: Link) -> Self {
        Self(Way::Server(link))
    }

    pub(super) fn to_master(sentinel: Arc<Sentinel>, link: Link) -> Self {
        Self(Way::Master(sentinel, link))
    }

    pub(super) fn to_cluster(cluster: Arc<Cluster>, lasting: Lasting) -> Self {
        Self(Way::Cluster(cluster, lasting))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.0 {
            Way::Server(link) => link.req_packed_command(cmd),
            Way::Master(sentinel, link) => Box::pin(sentinel.send_lasting(link, cmd)),
            Way::Cluster(cluster, lasting) => Box::pin(cluster.send(cmd, *lasting)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &mut self.0 {
            Way::Server(link) | Way::Master(_, link) => {
                link.req_packed_commands(pipeline, offset, count)
            }
            Way::Cluster(cluster, _) => Box::pin(cluster.send_all(pipeline)),
        }
    }

    fn get_db(&self) -> i64 {
        match &self.0 {
            Way::Server(link) | Way::Master(_, link) => link.get_db(),
            Way::Cluster(_, _) => 0,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Server(link) | Way::Master(_, link) => link.fmt(f),
            Way::Cluster(cluster, _) => cluster.fmt(f),
        }
    }
}
