//! The master that sentinels name.
//!
//! Sentinels may disagree: one that is cut off goes on to name a master that the others have given
//! up. So the master is whom a majority of *all* configured sentinels names, and who says so of
//! itself, within the last second; without one there is no connection and no answer. A gate that is
//! cut off together with an old master says no, not yes by what that one remembers.
//!
//! Nobody asks while nobody uses the store.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::Address;
use super::connector::{Lasting, Link, Role};
use super::server::Server;
use super::target::{Access, HostPort};
use super::told::{Standing, Told};
use super::{Failure, Node, Options};

/// How long a sentinel may take to be reached, and to answer; one of them may be gone.
const PATIENCE: Duration = Duration::from_millis(300);

/// A server, by those who watch over it.
pub(super) struct Sentinel {
    sentinels: Vec<Arc<Server>>,
    name: String,
    access: Access,
    options: Options,
    told: Told<Master>,
}

#[derive(Debug)]
struct Master {
    at: HostPort,
    server: Server,
}

impl Sentinel {
    /// Prepares everything; nobody is asked before the first use.
    pub(super) fn new(
        sentinels: &[Address],
        name: String,
        access: Access,
        options: &Options,
    ) -> Self {
        let short = Options {
            connect_timeout: options.connect_timeout.min(PATIENCE),
            response_timeout: options.response_timeout.min(PATIENCE),
            max_connections: 1,
            ..options.clone()
        };
        let server = |at: &Address| Arc::new(Server::new(at, Role::Any, &short));
        let sentinels = sentinels.iter().map(server).collect();
        Self { sentinels, name, access, options: options.clone(), told: Told::new() }
    }

    /// A connection to the master.
    ///
    /// # Errors
    /// [`Failure`] where there is none that a majority names, or it is not reached.
    pub(super) async fn link(self: &Arc<Self>, lasting: Lasting) -> Result<Link, Failure> {
        let link = self.master().await?.server.link_for(lasting).await;
        if link.is_err() {
            self.told.doubt();
        }
        link
    }

    /// How the master is listened to.
    pub(super) async fn node(self: &Arc<Self>) -> Result<Node, Failure> {
        Ok(self.master().await?.server.node().clone())
    }

    async fn master(self: &Arc<Self>) -> Result<Arc<Master>, Failure> {
        match self.told.standing(Instant::now()) {
            Standing::Young(master) => Ok(master),
            Standing::Due(master) => {
                let this = Arc::clone(self);
                tokio::spawn(async move {
                    let asked = this.told.ask(this.find_out()).await;
                    this.told.asked_aside();
                    if let Err(error) = asked {
                        tracing::warn!(master = this.name, %error, "the sentinels name no master");
                    }
                });
                Ok(master)
            }
            Standing::Outdated => {
                let asking = self.told.ask(self.find_out());
                let asked = tokio::time::timeout(self.options.connect_timeout, asking).await;
                asked.unwrap_or(Err(Failure::TimedOut))
            }
        }
    }

    async fn find_out(&self) -> Result<Arc<Master>, Failure> {
        let at = self.ask_majority().await?;
        let known = self.told.last();
        let master = match &known {
            Some(master) if master.at == at => Arc::clone(master),
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

/// Whom a sentinel takes for the master.
async fn ask(sentinel: Arc<Server>, name: String) -> Result<HostPort, Failure> {
    let mut link = sentinel.link().await.map_err(of_sentinel)?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("get-master-addr-by-name").arg(name);
    let answer: redis::RedisResult<Option<(String, u16)>> = command.query_async(&mut link).await;
    let (host, port) = answer
        .map_err(|error| of_sentinel(Failure::of(&error)))?
        .ok_or_else(|| Failure::Unavailable("it knows no master of that name".to_owned()))?;
    Ok(HostPort { host, port })
}

/// Sentinels have a password of their own.
fn of_sentinel(failure: Failure) -> Failure {
    match failure {
        Failure::Refused => Failure::Unavailable(
            "it refuses sentinel_username or sentinel_password of DB_URL".to_owned(),
        ),
        other => other,
    }
}
