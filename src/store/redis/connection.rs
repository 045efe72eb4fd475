//! The connection that stores use, whether one server answers or many.

use std::fmt;
use std::sync::Arc;

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::cluster::Cluster;
use super::connector::{Durability, Link};
use super::sentinel::Sentinel;

/// A connection; its clones share it.
///
/// On a cluster every command finds its server by the key that it names first. A pipeline is taken
/// apart and put together again; only commands about one slot keep their order. A transaction is
/// refused.
#[derive(Clone)]
pub struct Connection(Route);

#[derive(Clone)]
enum Route {
    Server(Link),
    /// To the master, for commands that must survive a failover.
    Master(Arc<Sentinel>, Link),
    Cluster(Arc<Cluster>, Durability),
}

impl Connection {
    pub(super) fn to_server(link: Link) -> Self {
        Self(Route::Server(link))
    }

    pub(super) fn to_master(sentinel: Arc<Sentinel>, link: Link) -> Self {
        Self(Route::Master(sentinel, link))
    }

    pub(super) fn to_cluster(cluster: Arc<Cluster>, durability: Durability) -> Self {
        Self(Route::Cluster(cluster, durability))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match &mut self.0 {
            Route::Server(link) => link.req_packed_command(cmd),
            Route::Master(sentinel, link) => Box::pin(sentinel.send_durable(link, cmd)),
            Route::Cluster(cluster, durability) => Box::pin(cluster.send(cmd, *durability)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match &mut self.0 {
            Route::Server(link) | Route::Master(_, link) => {
                link.req_packed_commands(pipeline, offset, count)
            }
            Route::Cluster(cluster, _) => Box::pin(cluster.send_all(pipeline)),
        }
    }

    fn get_db(&self) -> i64 {
        match &self.0 {
            Route::Server(link) | Route::Master(_, link) => link.get_db(),
            Route::Cluster(_, _) => 0,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Route::Server(link) | Route::Master(_, link) => link.fmt(f),
            Route::Cluster(cluster, _) => cluster.fmt(f),
        }
    }
}
