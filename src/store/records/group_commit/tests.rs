//! Many changes of one record at once, over stores that are far away, hang, or are shared with another
//! process. Time stands still but for what somebody waits for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::clock::{SystemClock, UnixTime};
use crate::store::records::{MemoryRecordStore, Record, Records};
use crate::store::{Operation, StoreKind, StoreMetrics};

const TIMEOUT: Duration = Duration::from_millis(500);
const AWAY: Duration = Duration::from_millis(40);

/// The changes that were made, in their order.
#[derive(Serialize, Deserialize)]
struct Log(Vec<usize>);

impl Record for Log {
    const KIND: &'static str = "log";
    const MARGIN: Duration = Duration::ZERO;

    fn end(&self) -> UnixTime {
        UnixTime::from_secs(1)
    }
}

/// A store in memory, each of whose answers takes its time: first those in the list.
#[derive(Debug, Default)]
struct DistantStore {
    records: MemoryRecordStore,
    delays: Mutex<VecDeque<Duration>>,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl DistantStore {
    /// The first answers take so long.
    fn with_delays(delays: impl IntoIterator<Item = Duration>) -> Arc<Self> {
        Arc::new(Self { delays: Mutex::new(delays.into_iter().collect()), ..Self::default() })
    }

    /// Half of the way is made before the store does what it was asked.
    async fn travel<T>(&self, asked: impl Future<Output = T>) -> T {
        let delay = self.delays.lock().expect("delays").pop_front().unwrap_or(AWAY);
        sleep(delay / 2).await;
        let answer = asked.await;
        sleep(delay / 2).await;
        answer
    }

    async fn logged(&self) -> Vec<usize> {
        let record = self.records.get(&RecordKey::new(Log::KIND, "n")).await.expect("memory");
        let log = record.map(|record| serde_json::from_str::<Log>(&record.value).expect("a log"));
        log.map(|log| log.0).unwrap_or_default()
    }
}

#[async_trait]
impl RecordStore for DistantStore {
    async fn get(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.travel(self.records.get(key)).await
    }

    async fn compare_and_set(
        &self,
        key: &RecordKey,
        read: Option<&StoredRecord>,
        record: &NewRecord,
    ) -> Result<bool, StoreError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.travel(self.records.compare_and_set(key, read, record)).await
    }

    async fn delete(&self, key: &RecordKey) -> Result<bool, StoreError> {
        self.records.delete(key).await
    }

    async fn purge(&self, before: UnixTime) -> Result<u64, StoreError> {
        self.records.purge(before).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn describe(&self) -> String {
        "far away".to_owned()
    }
}

fn process(store: &Arc<DistantStore>) -> Records {
    let metrics = StoreMetrics::unregistered(StoreKind::Limits);
    Records::new(Arc::clone(store) as _, TIMEOUT, Arc::new(SystemClock::new()), metrics)
}

type Task = JoinHandle<Result<Vec<usize>, StoreError>>;

/// Returns whether a change is refused, after so many others.
fn is_refused(id: usize, before: usize) -> bool {
    id % 5 == 4 && before % 3 == 2
}

impl Records {
    /// Makes a change, and says which ones were made before it.
    async fn log(&self, id: usize) -> Result<Vec<usize>, StoreError> {
        let decide = move |log: Option<Log>| {
            let before = log.map(|log| log.0).unwrap_or_default();
            let after = [before.as_slice(), &[id]].concat();
            let is_made = !is_refused(id, before.len());
            (before, is_made.then_some(Log(after)))
        };
        self.change(Operation::Take, "n", UnixTime::EPOCH, decide).await
    }

    fn spawn_log(&self, id: usize) -> Task {
        let records = self.clone();
        tokio::spawn(async move { records.log(id).await })
    }

    fn waits(&self) -> usize {
        self.0.group_commit.waiting().len()
    }
}

/// Checks that the outcomes are those of the changes one after the other.
fn check(log: &[usize], outcomes: &[(usize, Vec<usize>)]) {
    for (id, before) in outcomes {
        assert_eq!(log.get(..before.len()), Some(before.as_slice()), "{id} after {before:?}");
        let made = log.iter().filter(|made| *made == id).count();
        if is_refused(*id, before.len()) {
            assert_eq!(made, 0, "{id} was refused");
        } else {
            assert_eq!((log.get(before.len()), made), (Some(id), 1), "{id} after {before:?}");
        }
    }
}

async fn outcomes_of(tasks: Vec<(usize, Task)>) -> Vec<(usize, Vec<usize>)> {
    let mut outcomes = Vec::new();
    for (id, task) in tasks {
        outcomes.push((id, task.await.expect("task").expect("in time")));
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn a_hundred_changes_of_one_record_end_in_the_time_of_a_few() {
    let store = Arc::new(DistantStore::default());
    let records = process(&store);
    let outcomes = outcomes_of((0..100).map(|id| (id, records.spawn_log(id))).collect()).await;
    check(&store.logged().await, &outcomes);
    assert_eq!(store.writes.load(Ordering::Relaxed), 2, "the first, and all others");
    assert_eq!(store.reads.load(Ordering::Relaxed), 100 + 1, "each, and the others");
    assert_eq!(records.waits(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_processes_that_change_one_record_at_once_lose_nothing() {
    let store = Arc::new(DistantStore::default());
    let processes = [process(&store), process(&store)];
    let tasks = (0..100).map(|id| (id, processes[id % 2].spawn_log(id))).collect();
    let outcomes = outcomes_of(tasks).await;
    check(&store.logged().await, &outcomes);
    assert!(store.writes.load(Ordering::Relaxed) <= 8);
    assert_eq!((processes[0].waits(), processes[1].waits()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_takes_no_change_of_another_with_it() {
    let store = Arc::new(DistantStore::default());
    let records = process(&store);
    let tasks: Vec<_> = (0..8).map(|id| (id, records.spawn_log(id))).collect();
    // All have read; the first is being written, and the others wait.
    sleep(AWAY + AWAY / 4).await;
    for (id, task) in &tasks {
        if id % 2 == 0 {
            task.abort();
        }
    }
    let left = tasks.into_iter().filter(|(id, _)| id % 2 == 1).collect();
    let outcomes = outcomes_of(left).await;
    let log = store.logged().await;
    check(&log, &outcomes);
    assert_eq!(log, [0, 1, 3, 5, 7], "the first was under way");
    assert_eq!(records.waits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_fails_one_batch_and_not_the_next() {
    let store = DistantStore::with_delays([AWAY, AWAY, AWAY, 100 * TIMEOUT]);
    let records = process(&store);
    let tasks: Vec<_> = (0..3).map(|id| records.spawn_log(id)).collect();
    for task in tasks {
        assert_eq!(task.await.expect("task"), Err(StoreError::TimedOut));
    }
    assert_eq!(records.log(3).await, Ok(vec![]));
    assert_eq!(records.log(4).await, Ok(vec![3]));
    assert_eq!(records.waits(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_for_one_record() {
    let store = Arc::new(DistantStore::default());
    let records = process(&store);
    let tasks: Vec<_> = (0..MAX_WAITING + 3).map(|_| records.spawn_log(0)).collect();
    let mut refused = 0;
    for task in tasks {
        match task.await.expect("task") {
            Ok(_) => {}
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(refused, 2, "one is being written, and so many wait");
    assert_eq!((records.waits(), store.logged().await.len()), (0, MAX_WAITING + 1));
}

/// One change: its process, when it begins, and when its caller goes away.
type Planned = (usize, u64, Option<u64>);

async fn carry_out(delays: Vec<u64>, planned: Vec<Planned>) {
    let store = DistantStore::with_delays(delays.into_iter().map(Duration::from_millis));
    let processes = [process(&store), process(&store)];
    let outcomes = Arc::new(Mutex::new(Vec::<(usize, Vec<usize>)>::new()));
    let work = planned.into_iter().enumerate().map(|(id, (process, begin, leave))| {
        let (records, outcomes) = (processes[process].clone(), Arc::clone(&outcomes));
        async move {
            sleep(Duration::from_millis(begin)).await;
            let ended = outcomes.lock().expect("outcomes").clone();
            let patience = leave.map_or(Duration::MAX, Duration::from_millis);
            let Ok(outcome) = tokio::time::timeout(patience, records.log(id)).await else { return };
            let Ok(before) = outcome else { return };
            // Of what had ended before this began nothing is overlooked.
            for (earlier, before_it) in ended {
                let is_seen = before.contains(&earlier) || is_refused(earlier, before_it.len());
                assert!(is_seen, "{id} overlooked {earlier}: {before:?}");
            }
            outcomes.lock().expect("outcomes").push((id, before));
        }
    });
    futures_util::future::join_all(work).await;
    // What was begun for somebody who went away comes to its end.
    sleep(100 * TIMEOUT).await;
    let log = store.logged().await;
    check(&log, &outcomes.lock().expect("outcomes"));
    for (n, id) in log.iter().enumerate() {
        assert!(!log[..n].contains(id), "{id} was made twice: {log:?}");
    }
    assert_eq!((processes[0].waits(), processes[1].waits()), (0, 0));
}

proptest! {
    #[test]
    fn outcomes_are_those_of_the_changes_one_after_the_other(
        delays in prop::collection::vec(prop_oneof![8 => 0..60_u64, 1 => 0..2_000_u64], 0..40),
        planned in prop::collection::vec(
            (0..2_usize, 0..300_u64, prop::option::weighted(0.2, 0..200_u64)),
            1..40,
        ),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("runtime");
        runtime.block_on(carry_out(delays, planned));
    }
}
