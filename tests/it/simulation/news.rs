//! News of the store, one channel a process: late, in order, and lost when the channel breaks.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use portcullis::storage::news::{Heard, Hears, Means, NewsSource, NewsState};
use tokio::{
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    },
    time::{Duration, Instant, sleep, sleep_until},
};

use super::{chance::Chance, world::World};

/// For how long nothing may come before the channel is taken for broken.
pub const HEARTBEAT: Duration = Duration::from_millis(800);

/// What a change is told by, and when it arrives.
#[derive(Debug)]
struct Message {
    key: Box<[u8]>,
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
    /// When the last message arrives.
    last_due: Option<Instant>,
    frozen_until: Option<Instant>,
    /// Where it is broken: when that is noticed.
    noticed: Option<Instant>,
}

impl Channel {
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().expect("never poisoned"))
    }

    /// The store tells of a change.
    pub fn send(&self, key: &[u8], takes: Duration) {
        self.with(|state| {
            if let Some(sender) = &state.to_process {
                let due = (Instant::now() + takes).max(state.last_due.unwrap_or(Instant::now()));
                // Its reader may just have hung up.
                let _ = sender.send(Message { key: key.into(), due });
                state.last_due = Some(due);
            }
        });
    }

    /// It breaks: what is under way is lost, and what comes after; it is noticed after so long.
    pub fn cut(&self, notice: Duration) {
        self.with(|state| {
            if state.to_process.take().is_some() {
                state.noticed = Some(Instant::now() + notice);
            }
        });
        self.broke.notify_one();
    }

    /// It stands still; where that is for too long, it is taken for broken.
    pub fn freeze(&self, lasts: Duration) {
        let until = Instant::now() + lasts;
        self.with(|state| state.frozen_until = state.frozen_until.max(Some(until)));
        if lasts > HEARTBEAT {
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

    /// The next message that arrives; none after a break.
    async fn next(&self, messages: &mut UnboundedReceiver<Message>) -> Message {
        let Some(message) = messages.recv().await else { return std::future::pending().await };
        sleep_until(message.due).await;
        self.until_thawed().await;
        if self.with(|state| state.noticed).is_some() {
            return std::future::pending().await;
        }
        message
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

/// A process' source of news.
#[derive(Debug)]
pub struct Source {
    pub process: usize,
    pub world: Arc<World>,
}

#[async_trait]
impl NewsSource for Source {
    async fn follow(&self, hears: &dyn Hears, state: &NewsState) {
        let (channel, chance) = (&self.world.channels[self.process], &self.world.chance);
        let way = || chance.millis(self.world.weather.climate.news.clone());
        loop {
            sleep(way()).await;
            channel.until_thawed().await;
            let mut messages = channel.subscribe();
            self.world.note(self.process, "subscribes", "");
            sleep(way()).await;
            channel.until_thawed().await;
            // Told when it is sure that everything from now on will be.
            hears.hear(Heard::Missed);
            state.set_means(Means::Tracking);
            loop {
                tokio::select! {
                    biased;
                    () = channel.until_noticed() => break,
                    message = channel.next(&mut messages) => hears.hear(Heard::Changed(&message.key)),
                }
            }
            state.set_means(Means::Bound);
            hears.hear(Heard::Missed);
            sleep(chance.millis(1..=rearming(chance))).await;
        }
    }
}

/// How long it takes at most to be heard again: mostly soon.
fn rearming(chance: &Chance) -> u64 {
    if chance.percent(70) { 60 } else { 3_000 }
}
