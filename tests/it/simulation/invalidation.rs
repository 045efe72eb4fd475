//! Invalidations of the store, one channel a process: late, in order, and lost when the channel breaks.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use portcullis::store::invalidation::{
    DeliveryMode, InvalidationEvent, InvalidationListener, InvalidationSource, InvalidationState,
};
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{Duration, Instant, interval, sleep, sleep_until},
};

use super::{cluster::ClusterState, rng::SeededRng};

/// The time without a message after which a channel is taken for broken.
pub const HEARTBEAT: Duration = Duration::from_millis(800);

/// The interval at which the store is asked what has changed, where it says all of it.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// The key of a change, or that all before it were told of; and the moment at which it arrives.
#[derive(Debug)]
struct Message {
    key: Option<Box<[u8]>>,
    due: Instant,
}

/// A process' channel.
#[derive(Debug, Default)]
pub struct Channel {
    state: Mutex<State>,
    broke: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The store's end, as long as it knows of the process.
    to_process: Option<UnboundedSender<Message>>,
    /// The moment at which the last message arrives.
    last_due: Option<Instant>,
    frozen_until: Option<Instant>,
    /// The moment at which it is noticed that the connection is broken, if it is.
    noticed: Option<Instant>,
}

impl Channel {
    fn with<T>(&self, apply: impl FnOnce(&mut State) -> T) -> T {
        apply(&mut self.state.lock().expect("never poisoned"))
    }

    /// The store tells of a change; or, without one, that there was no other before.
    pub fn send(&self, key: Option<&[u8]>, takes: Duration) {
        self.with(|state| {
            if let Some(sender) = &state.to_process {
                let due = (Instant::now() + takes).max(state.last_due.unwrap_or(Instant::now()));
                // Its reader may just have hung up.
                let _ = sender.send(Message { key: key.map(Into::into), due });
                state.last_due = Some(due);
            }
        });
    }

    /// Breaks it: messages under way are lost, and all later ones; that is noticed after so long.
    pub fn cut(&self, notice: Duration) {
        self.with(|state| {
            if state.to_process.take().is_some() {
                state.noticed = Some(Instant::now() + notice);
            }
        });
        self.broke.notify_one();
    }

    /// Holds it up; where that duration too long, it is taken for broken.
    pub fn freeze(&self, duration: Duration) {
        let until = Instant::now() + duration;
        self.with(|state| state.frozen_until = state.frozen_until.max(Some(until)));
        if duration > HEARTBEAT {
            self.cut(HEARTBEAT);
        }
    }

    /// From now on the store tells it of changes.
    fn subscribe(&self) -> UnboundedReceiver<Message> {
        let (sender, receiver) = unbounded_channel();
        self.with(|state| {
            let frozen_until = state.frozen_until;
            *state = State { to_process: Some(sender), frozen_until, ..State::default() };
        });
        receiver
    }

    async fn until_thawed(&self) {
        while let Some(until) = self.with(|state| state.frozen_until)
            && until > Instant::now()
        {
            sleep_until(until).await;
        }
    }

    /// The key of the next message that arrives; none after a break. The message is `under_way` until then, also where
    /// nobody waits for it for a while.
    async fn next(
        &self,
        messages: &mut UnboundedReceiver<Message>,
        under_way: &mut Option<Message>,
    ) -> Option<Box<[u8]>> {
        if under_way.is_none() {
            *under_way = messages.recv().await;
        }
        let Some(message) = under_way else { return std::future::pending().await };
        sleep_until(message.due).await;
        self.until_thawed().await;
        if self.with(|state| state.noticed).is_some() {
            return std::future::pending().await;
        }
        under_way.take().and_then(|message| message.key)
    }

    /// Until it is noticed that it broke.
    async fn until_noticed(&self) {
        loop {
            match self.with(|state| state.noticed) {
                Some(at) => return sleep_until(at).await,
                None => self.broke.notified().await,
            }
        }
    }
}

/// A process' source of invalidations.
#[derive(Debug)]
pub struct Source {
    pub process: usize,
    pub cluster: Arc<ClusterState>,
}

#[async_trait]
impl InvalidationSource for Source {
    async fn follow(&self, listener: &dyn InvalidationListener, state: &InvalidationState) {
        let (channel, rng) = (&self.cluster.channels[self.process], &self.cluster.rng);
        let tells_all = self.cluster.injector.plan.tells_all;
        let latency = || rng.millis(self.cluster.injector.plan.invalidation_latency.clone());
        loop {
            sleep(latency()).await;
            channel.until_thawed().await;
            let mut messages = channel.subscribe();
            self.cluster.record(self.process, "subscribes", "");
            sleep(latency()).await;
            channel.until_thawed().await;
            // Told when it is sure that everything from now on will be.
            listener.on_invalidation(InvalidationEvent::Lost);
            state.set_mode(DeliveryMode::Tracking);
            let (mut asks, mut is_asked, mut under_way) = (interval(ASKED_EVERY), false, None);
            loop {
                tokio::select! {
                    biased;
                    () = channel.until_noticed() => break,
                    key = channel.next(&mut messages, &mut under_way) => match key {
                        Some(key) => listener.on_invalidation(InvalidationEvent::Changed(&key)),
                        None => {
                            listener.on_invalidation(InvalidationEvent::Complete);
                            is_asked = false;
                        }
                    },
                    _ = asks.tick(), if tells_all && !is_asked => {
                        listener.on_invalidation(InvalidationEvent::Asked);
                        channel.send(None, latency());
                        is_asked = true;
                    }
                }
            }
            state.set_mode(DeliveryMode::Bound);
            listener.on_invalidation(InvalidationEvent::Lost);
            sleep(rng.millis(1..=resubscribe_delay(rng))).await;
        }
    }
}

/// The longest time until it subscribes again: mostly short.
fn resubscribe_delay(rng: &SeededRng) -> u64 {
    if rng.percent(70) { 60 } else { 3_000 }
}
