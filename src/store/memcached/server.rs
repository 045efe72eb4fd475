//! One server: its pool of connections, and what its answers mean.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{Context, SHA256};
use memcache::exp::{AsyncMetaClient, Error, Get, GetResult, GetStatus, Meta, Operation};

use super::{Found, Key, Lifetime, Options};
use crate::store::Failure;

/// One server.
pub(super) struct Server {
    /// Host and port, as configured.
    pub(super) name: String,
    options: Options,
    /// Its pool, once its name was looked up; looked up again after it could not be reached.
    client: ArcSwapOption<AsyncMetaClient>,
}

impl Server {
    pub(super) fn new(name: String, options: Options) -> Self {
        Self { name, options, client: ArcSwapOption::empty() }
    }

    /// The weight of this server for a key; the server with the highest has it.
    pub(super) fn weight(&self, key: &Key) -> [u8; 8] {
        let mut context = Context::new(&SHA256);
        context.update(self.name.as_bytes());
        context.update(b"\0");
        context.update(key.name().as_bytes());
        let mut weight = [0; 8];
        weight.copy_from_slice(&context.finish().as_ref()[..8]);
        weight
    }

    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Failure> {
        self.client().await?.run(operation).await.map_err(|error| self.failed(&error))
    }

    pub(super) async fn run_many<O: Operation>(
        &self,
        operations: impl Iterator<Item = O>,
    ) -> Result<Vec<O::Output>, Failure> {
        let answers = self.client().await?.run_many(operations).await;
        let answers = answers.map_err(|error| self.failed(&error))?;
        let answers: Result<Vec<_>, Error> = answers.into_iter().collect();
        answers.map_err(|error| self.failed(&error))
    }

    async fn client(&self) -> Result<Arc<AsyncMetaClient>, Failure> {
        if let Some(client) = self.client.load_full() {
            return Ok(client);
        }
        let builder = AsyncMetaClient::builder()
            .connect_timeout(Some(self.options.connect_timeout))
            .io_timeout(Some(self.options.response_timeout))
            .max_connections(Some(self.options.max_connections))
            .max_idle(self.options.max_connections);
        // Looks the name up; connections are made when they are needed.
        let made = builder.connect_async(self.name.as_str());
        let made = tokio::time::timeout(self.options.connect_timeout, made).await;
        let client = made.map_err(|_| Failure::TimedOut)?.map_err(|error| self.failed(&error))?;
        let client = Arc::new(client);
        self.client.store(Some(Arc::clone(&client)));
        Ok(client)
    }

    fn failed(&self, error: &Error) -> Failure {
        // A wait for a connection that came to nothing says only that there are too many of us.
        let is_pool_exhausted = |error: &std::io::Error| {
            error.kind() == std::io::ErrorKind::TimedOut && error.get_ref().is_some()
        };
        if matches!(error, Error::Io(error) if !is_pool_exhausted(error)) {
            // It may have moved. What is under way ends on the pool that it began on.
            self.client.store(None);
        }
        self.named(Failure::of_memcached(error))
    }

    pub(super) fn named(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Unavailable(what) => Failure::Unavailable(format!("{}: {what}", self.name)),
            other => other,
        }
    }
}

pub(super) fn read(key: &Key) -> Get {
    Get::new(key.as_str()).meta(Meta::NONE.cas().ttl())
}

pub(super) fn found(result: GetResult) -> Result<Option<Found>, Failure> {
    match (result.status, result.value, result.item.cas, result.item.ttl) {
        (GetStatus::Miss, ..) => Ok(None),
        (GetStatus::Hit, Some(value), Some(version), Some(left)) => {
            Ok(Some(Found { value, left: Lifetime::left(left), version }))
        }
        _ => Err(Failure::unexpected()),
    }
}

impl Failure {
    /// Translates an error of the `memcache` crate.
    fn of_memcached(error: &Error) -> Self {
        match error {
            Error::Timeout { .. } => Self::TimedOut,
            Error::Ambiguous { source, .. } => Self::of_memcached(source),
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::TimedOut,
            // The system's words.
            Error::Io(error) => Self::Unavailable(error.to_string()),
            Error::Server(what) if what.contains("out of memory") => {
                Self::Unavailable("it has no room left".to_owned())
            }
            Error::Server(what) if what.contains("too large") => {
                Self::Unavailable("the record is too large for it; see its option -I".to_owned())
            }
            Error::Rejected(_) => Self::Unavailable(
                "it refuses a command of the meta protocol; memcached 1.6 or newer is needed"
                    .to_owned(),
            ),
            _ => Self::unexpected(),
        }
    }

    pub(super) fn unexpected() -> Self {
        Self::Unavailable("its answer makes no sense".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_repeats_what_a_server_sent() {
        for error in [
            Error::Protocol("unknown return code \"hunter2\"".to_owned()),
            Error::Server("hunter2".to_owned()),
            Error::Rejected("hunter2".to_owned()),
            Error::Conflict,
        ] {
            let failure = Failure::of_memcached(&error);
            assert!(matches!(&failure, Failure::Unavailable(what) if !what.contains("hunter2")));
        }
        let source = Box::new(Error::Io(std::io::ErrorKind::TimedOut.into()));
        let ambiguous = Error::Ambiguous { key: Vec::new(), source };
        assert_eq!(Failure::of_memcached(&ambiguous), Failure::TimedOut);
    }
}
