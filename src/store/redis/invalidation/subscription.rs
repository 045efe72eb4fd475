//! The subscription to one server, in the best mode that it allows.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{ErrorKind, PushInfo, RedisError, RedisResult, Value};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::super::connector::refuses_resp3;
use super::confirmation::{Answers, Round};
use super::push::{self, Pushed};
use super::{Failure, Node, Report};
use crate::store::invalidation::DeliveryMode;

/// The interval of heartbeats: a frozen server does not report by itself.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// The time that it has to answer.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(500);
/// The first backoff after a failure; the next one is always twice as long.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
/// The longest backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// The time until a server that allows no subscription is asked again.
const REFUSED_RETRY: Duration = Duration::from_secs(30);
/// The time until a server that did not track is asked again: it may have lacked a connection, or
/// its administrator may have changed the settings.
const TRACKING_RETRY: Duration = Duration::from_secs(300);

/// The subscription to one server.
pub(super) struct NodeSubscription {
    node: Node,
    prefixes: Arc<[String]>,
    channel: Arc<str>,
    reports: mpsc::UnboundedSender<Report>,
    lost: Arc<Notify>,
    round: watch::Receiver<Round>,
    /// The time of the last [`Report::Lost`].
    lost_at: Option<Instant>,
}

/// The reason why the server is not followed, or not in this mode.
enum Stop {
    /// It does not allow it.
    Refused(String),
    /// It was not reached, or failed before any event could come.
    Failed(Failure),
    /// It was followed, and is not any more.
    Lost(&'static str),
    /// It allows no subscription, and it is time to ask again.
    Again,
}

impl From<RedisError> for Stop {
    fn from(error: RedisError) -> Self {
        if is_refusal(&error) {
            Self::Refused(said(&error))
        } else {
            Self::Failed(Failure::of(&error))
        }
    }
}

impl NodeSubscription {
    pub(super) fn new(
        node: Node,
        prefixes: Arc<[String]>,
        channel: Arc<str>,
        reports: mpsc::UnboundedSender<Report>,
        lost: Arc<Notify>,
        round: watch::Receiver<Round>,
    ) -> Self {
        Self { node, prefixes, channel, reports, lost, round, lost_at: None }
    }

    /// Follows the server until it is dropped.
    pub(super) async fn run(mut self) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let began = Instant::now();
            match self.follow().await {
                Stop::Again => continue,
                Stop::Lost(why) => self.lose(why),
                Stop::Failed(failure) => self.fail(&failure.to_string()),
                Stop::Refused(why) => self.fail(&why),
            }
            // A server that accepts the subscription and ends it soon is asked no faster.
            if began.elapsed() > MAX_BACKOFF.saturating_mul(2) {
                backoff = MIN_BACKOFF;
            }
            tokio::time::sleep(jittered(backoff)).await;
            backoff = backoff.saturating_mul(2).min(MAX_BACKOFF);
        }
    }

    /// Tries each mode, until one is allowed; returns when the subscription is lost.
    async fn follow(&mut self) -> Stop {
        let no_tracking = match self.track().await {
            Ok(why) => return Stop::Lost(why),
            Err(Stop::Refused(why)) => why,
            Err(stop) => return stop,
        };
        self.subscribe(no_tracking).await.unwrap_or_else(|stop| stop)
    }

    /// Makes the server track the keys. Returns the reason why it stopped.
    async fn track(&mut self) -> Result<&'static str, Stop> {
        if !self.node.may_push() {
            return Err(Stop::Refused("DB_URL asks for RESP2".to_owned()));
        }
        let broken = Arc::new(Notify::new());
        let pushes = report_pushes(self.reports.clone(), Arc::clone(&broken));
        let mut connection = self.node.dial(HEARTBEAT_TIMEOUT, pushes).await?;
        enable_tracking(&mut connection, &self.prefixes).await?;
        let can_confirm = confirm_tracking(&mut connection, &self.prefixes).await?;
        self.subscribed(DeliveryMode::Tracking, String::new());
        Ok(tokio::select! {
            biased;
            () = broken.notified() => "the connection broke",
            why = self.monitor(&mut connection, can_confirm) => why,
        })
    }

    /// Asks the server again and again whether it answers, and tracks; by that each round is confirmed. Returns the first
    /// problem.
    async fn monitor(
        &self,
        connection: &mut MultiplexedConnection,
        mut can_confirm: bool,
    ) -> &'static str {
        let (mut interval, mut answers) = (heartbeats(), Answers::default());
        while can_confirm {
            interval.tick().await;
            let round = *self.round.borrow();
            match tracking_info(connection).await {
                Ok(info) if tracks(&info, &self.prefixes) => {
                    if let Some(round) = answers.note(round) {
                        self.report(Report::Confirmed { node: self.name(), round });
                    }
                }
                Err(error) if is_forbidden(&error) => can_confirm = false,
                Err(error) if !is_refusal(&error) && error.code().is_some() => {
                    answers.note_refusal();
                }
                Err(error) if error.code().is_none() => return "it does not answer",
                Ok(_) | Err(_) => return "it does not track any more",
            }
        }
        loop {
            interval.tick().await;
            if !is_alive(&redis::cmd("PING").query_async::<Value>(connection).await) {
                return "it does not answer";
            }
        }
    }

    /// Subscribes to the changes that our processes publish. Where that is not allowed either, the
    /// server is monitored all the same, so that its loss is noticed.
    async fn subscribe(&mut self, no_tracking: String) -> Result<Stop, Stop> {
        let (mut sink, stream) = self.node.dial_subscriber().await?.split();
        match within(HEARTBEAT_TIMEOUT, sink.subscribe(&*self.channel)).await {
            Ok(()) => {}
            Err(error) if is_refusal(&error) => {
                let why = format!("no tracking: {no_tracking}; no channel: {}", said(&error));
                self.report(Report::Mode { node: self.name(), mode: DeliveryMode::Bound, why });
                return Ok(tokio::select! {
                    why = heartbeat(&mut sink) => Stop::Lost(why),
                    () = tokio::time::sleep(REFUSED_RETRY) => Stop::Again,
                });
            }
            Err(error) => return Err(Stop::Failed(Failure::of(&error))),
        }
        self.subscribed(DeliveryMode::PubSub, format!("no tracking: {no_tracking}"));
        Ok(tokio::select! {
            biased;
            why = self.listen(stream) => Stop::Lost(why),
            why = heartbeat(&mut sink) => Stop::Lost(why),
            () = tokio::time::sleep(TRACKING_RETRY), if self.node.may_push() => {
                self.report_lost();
                Stop::Again
            }
        })
    }

    async fn listen(&self, mut messages: PubSubStream) -> &'static str {
        while let Some(message) = messages.next().await {
            self.report(Report::Changed(vec![message.get_payload_bytes().to_vec()]));
        }
        "the connection broke"
    }

    /// Reports the mode: from here on every change is reported. All earlier readings have to be
    /// checked again, since changes of the time between were not reported; only then may they be
    /// believed.
    fn subscribed(&mut self, mode: DeliveryMode, why: String) {
        self.report_lost();
        self.report(Report::Mode { node: self.name(), mode, why });
    }

    fn lose(&mut self, why: &str) {
        self.report_lost();
        self.lost.notify_one();
        self.report(Report::Mode {
            node: self.name(),
            mode: DeliveryMode::Bound,
            why: why.to_owned(),
        });
    }

    /// Reports that another attempt failed. Where no answer is better than an old one, everything
    /// must stay suspect.
    fn fail(&mut self, why: &str) {
        if self.lost_at.is_none_or(|at| at.elapsed() >= MAX_BACKOFF) {
            self.report_lost();
        }
        self.report(Report::Mode {
            node: self.name(),
            mode: DeliveryMode::Bound,
            why: why.to_owned(),
        });
    }

    fn report_lost(&mut self) {
        self.lost_at = Some(Instant::now());
        self.report(Report::Lost);
    }

    fn report(&self, report: Report) {
        // The receiver is gone only where this task is about to be dropped.
        let _nobody_listens = self.reports.send(report);
    }

    fn name(&self) -> Arc<str> {
        Arc::clone(self.node.name())
    }
}

/// Reports the server's pushes, from the connection's reader.
fn report_pushes(
    reports: mpsc::UnboundedSender<Report>,
    broken: Arc<Notify>,
) -> impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static {
    move |push| {
        let Pushed { keys, is_unclear, is_last } = push::read(push);
        if !keys.is_empty() {
            let _nobody_listens = reports.send(Report::Changed(keys));
        }
        if is_unclear {
            let _nobody_listens = reports.send(Report::Lost);
        }
        if is_last {
            broken.notify_one();
        }
        Ok(())
    }
}

/// Makes the server track the keys with these prefixes, whoever changes them.
async fn enable_tracking(
    connection: &mut MultiplexedConnection,
    prefixes: &[String],
) -> RedisResult<()> {
    let mut command = redis::cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("BCAST");
    for prefix in prefixes {
        command.arg("PREFIX").arg(prefix);
    }
    command.query_async(connection).await
}

/// Confirms that it does: a proxy may stand between, or somebody may have turned it off. Returns
/// whether it can be asked, which it need not allow. A server that does not know the question is
/// not believed: one that looks like Redis may take `CLIENT TRACKING` for something less.
async fn confirm_tracking(
    connection: &mut MultiplexedConnection,
    prefixes: &[String],
) -> Result<bool, Stop> {
    match tracking_info(connection).await {
        Ok(info) if tracks(&info, prefixes) => Ok(true),
        Ok(_) => Err(Stop::Refused("the server says that it does not track".to_owned())),
        Err(error) if is_forbidden(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn tracking_info(connection: &mut MultiplexedConnection) -> RedisResult<Value> {
    redis::cmd("CLIENT").arg("TRACKINGINFO").query_async(connection).await
}

fn is_forbidden(error: &RedisError) -> bool {
    error.code() == Some("NOPERM")
}

/// Returns whether such an answer says that keys with all of the prefixes are tracked.
fn tracks(info: &Value, prefixes: &[String]) -> bool {
    let Value::Map(fields) = info else { return false };
    let has = |name: &str, wanted: &str| {
        let field = fields.iter().find(|(field, _)| is_text(field, name));
        match field.map(|(_, value)| value) {
            Some(Value::Array(items) | Value::Set(items)) => {
                items.iter().any(|item| is_text(item, wanted))
            }
            _ => false,
        }
    };
    has("flags", "on") && has("flags", "bcast") && prefixes.iter().all(|it| has("prefixes", it))
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(simple) => simple == text,
        _ => false,
    }
}

/// Asks the server again and again whether it answers, over a connection for messages. Returns the first problem.
async fn heartbeat(sink: &mut PubSubSink) -> &'static str {
    let mut interval = heartbeats();
    loop {
        interval.tick().await;
        if !is_alive(&within(HEARTBEAT_TIMEOUT, sink.ping::<Value>()).await) {
            return "it does not answer";
        }
    }
}

fn heartbeats() -> tokio::time::Interval {
    let mut interval = tokio::time::interval(HEARTBEAT);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Returns whether the server answered; a refusal is an answer too.
fn is_alive(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().err().is_none_or(|error| error.code().is_some())
}

/// Returns whether the server does not allow or know the command, rather than being out of order
/// for a moment.
fn is_refusal(error: &RedisError) -> bool {
    const NOT_NOW: [&str; 9] = [
        "LOADING",
        "BUSY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "UNKILLABLE",
        "OOM",
        "WRONGPASS",
        "NOAUTH",
    ];
    let said_no = error.code().is_some_and(|code| !NOT_NOW.contains(&code));
    said_no || error.kind() == ErrorKind::RESP3NotSupported || refuses_resp3(error)
}

/// The server's error code. Not its sentence, which may repeat what was sent.
fn said(error: &RedisError) -> String {
    let category = error.category();
    error.code().map_or_else(|| category.to_owned(), |code| format!("{category} ({code})"))
}

async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
    tokio::time::timeout(limit, asking).await.unwrap_or_else(late)
}

/// Between half of the backoff and all of it, so that processes that lost a server do not all come
/// back at once.
fn jittered(backoff: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish() % 1_024;
    backoff.mul_f64(0.5 + 0.5 * (u32::try_from(chance).map_or(0.0, f64::from) / 1_024.0))
}
