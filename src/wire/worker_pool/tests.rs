//! The pool with one thread that is held up, so that what waits is known.

use std::sync::mpsc;

use super::*;

const THREADS: Threads = Threads { name: "test", count: 1 };

type Pool = WorkerPool<char, Vec<u32>>;

fn pool(capacity: usize) -> Arc<Pool> {
    Arc::new(WorkerPool::start(THREADS, capacity).expect("a thread"))
}

/// Takes the thread until the sender goes, or sends.
async fn hold_up(pool: &Arc<Pool>) -> mpsc::Sender<()> {
    let ((go, gone), (started, has_started)) = (mpsc::channel::<()>(), oneshot::channel());
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        let work = move |_: &mut Vec<u32>| {
            let _ = started.send(());
            let _ = gone.recv();
        };
        pool.run('-', work).await
    });
    has_started.await.expect("the thread took the work");
    go
}

/// Queues a piece of work that notes its number in the memory of the thread, and returns all noted so far.
async fn queue(
    pool: &Arc<Pool>,
    owner: char,
    number: u32,
) -> tokio::task::JoinHandle<Result<Vec<u32>, NotDone>> {
    let (before, asked) = (pool.waiting(), Arc::clone(pool));
    let task = tokio::spawn(async move {
        let work = move |noted: &mut Vec<u32>| {
            noted.push(number);
            noted.clone()
        };
        asked.run(owner, work).await
    });
    while pool.waiting() == before && !pool.is_full() {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn an_owner_with_much_work_makes_another_wait_for_one_piece_of_it() {
    let pool = pool(8);
    let go = hold_up(&pool).await;
    let mut tasks = Vec::new();
    for (owner, number) in [('a', 1), ('a', 2), ('a', 3), ('b', 4)] {
        tasks.push(queue(&pool, owner, number).await);
    }
    drop(go);
    let noted = tasks.pop().expect("b's").await.expect("task");
    assert_eq!(noted, Ok(vec![1, 4]));
}

#[tokio::test]
async fn a_full_queue_refuses_whoever_filled_it_and_has_room_for_others() {
    let pool = pool(2);
    let go = hold_up(&pool).await;
    let _first = queue(&pool, 'a', 1).await;
    let second = queue(&pool, 'a', 2).await;
    assert!(pool.is_full());
    assert_eq!(pool.run('a', |_| ()).await, Err(NotDone::Busy));
    let others = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.run('b', |noted| noted.len()).await }
    });
    assert_eq!(second.await.expect("task"), Err(NotDone::Busy), "it made room");
    drop(go);
    assert_eq!(others.await.expect("task"), Ok(1));
}

#[tokio::test]
async fn work_of_those_who_went_away_makes_room_and_is_never_done() {
    let pool = pool(2);
    let go = hold_up(&pool).await;
    for number in 0..6 {
        let work = pool.run('a', move |noted| noted.push(number));
        let gone = tokio::time::timeout(Duration::ZERO, work).await;
        assert!(gone.is_err(), "abandoned work makes room");
    }
    drop(go);
    assert_eq!(pool.run('a', |noted| noted.clone()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_no_thread() {
    let pool = pool(2);
    assert_eq!(pool.run('a', |_| panic!("as a test")).await, Err::<(), _>(NotDone::Stopped));
    assert_eq!(pool.run('a', |_| 7).await, Ok(7));
}
