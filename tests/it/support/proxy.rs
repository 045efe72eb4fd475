//! A proxy between Portcullis and a real server that fails on purpose, in ways that can be switched while it runs.
//!
//! It passes bytes on and knows nothing of what they mean, but for one thing: which connections carry invalidations (they
//! have sent `CLIENT TRACKING`, `SUBSCRIBE` or one of their kin), so that those can fail alone. Its random numbers come
//! from a seed, which is printed when the test fails; `PORTCULLIS_TEST_SEED` takes it back.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// The fate of the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They go on at once.
    Pass,
    /// They go on so much later.
    Delay(Duration),
    /// They are kept until this ends and go on then, as TCP does when a network comes back.
    Stall,
    /// They are lost; so is all that follows on the same connection, also when this has ended.
    Swallow,
    /// Random bytes come before them.
    Garbage,
    /// They go on one by one with a pause between them.
    Drip(Duration),
}

/// The fate of the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From Portcullis to the server.
    pub to_server: Flow,
    /// From the server to Portcullis.
    pub to_client: Flow,
}

/// The connections that a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// All of them.
    All,
    /// Those that carry invalidations.
    Invalidation,
    /// Those that do not.
    Others,
}

/// The way in which a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// As a peer that closes.
    Fin,
    /// As a peer that does not know the connection any more.
    Rst,
}

impl Fault {
    /// None.
    pub const NONE: Self = Self { to_server: Flow::Pass, to_client: Flow::Pass };

    /// The same in both directions.
    pub const fn both(flow: Flow) -> Self {
        Self { to_server: flow, to_client: flow }
    }

    /// In what the server says alone.
    pub const fn to_client(flow: Flow) -> Self {
        Self { to_server: Flow::Pass, to_client: flow }
    }

    /// In what Portcullis says alone.
    pub const fn to_server(flow: Flow) -> Self {
        Self { to_server: flow, to_client: Flow::Pass }
    }
}

/// A running proxy; it and its connections end when it is dropped.
pub struct Proxy {
    /// The address on which it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    seed: u64,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    faults: watch::Sender<Faults>,
    connections: Mutex<Vec<Arc<Connection>>>,
    accepted: AtomicUsize,
    rng: Mutex<Rng>,
}

#[derive(Clone, Copy, Debug)]
struct Faults {
    invalidation: Fault,
    others: Fault,
    is_refusing: bool,
}

/// One connection.
struct Connection {
    is_subscribed: AtomicBool,
    cut: watch::Sender<Option<Close>>,
}

impl Proxy {
    /// Starts it in front of `target`.
    pub fn start(target: SocketAddr) -> Self {
        let seed = seed();
        let none = Faults { invalidation: Fault::NONE, others: Fault::NONE, is_refusing: false };
        let shared = Arc::new(Shared {
            faults: watch::Sender::new(none),
            connections: Mutex::default(),
            accepted: AtomicUsize::new(0),
            rng: Mutex::new(Rng(seed)),
        });
        let listener = std::net::TcpListener::bind(super::free_address()).expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let all = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, target, all) => {}
                }
            });
        });
        Self { address, shared, seed, stop: Some(stop), thread: Some(thread) }
    }

    /// Sets the fault of these connections, those that there are and those to come.
    pub fn set(&self, which: Connections, fault: Fault) {
        self.shared.faults.send_modify(|faults| {
            if which != Connections::Others {
                faults.invalidation = fault;
            }
            if which != Connections::Invalidation {
                faults.others = fault;
            }
        });
    }

    /// Sets whether connections to come are reset at once.
    pub fn refuse(&self, is_refusing: bool) {
        self.shared.faults.send_modify(|faults| faults.is_refusing = is_refusing);
    }

    /// Cuts those connections that there are; returns their number.
    pub fn cut(&self, which: Connections, how: Close) -> usize {
        let connections = self.shared.open(which);
        for connection in &connections {
            connection.cut.send_replace(Some(how));
        }
        connections.len()
    }

    /// The number of connections that came in so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// The number of open connections.
    pub fn open(&self, which: Connections) -> usize {
        self.shared.open(which).len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            super::say(&format!("the proxy's seed: PORTCULLIS_TEST_SEED={}", self.seed));
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn open(&self, which: Connections) -> Vec<Arc<Connection>> {
        let is_meant = |connection: &&Arc<Connection>| match which {
            Connections::All => true,
            Connections::Invalidation => connection.is_subscribed.load(Ordering::Relaxed),
            Connections::Others => !connection.is_subscribed.load(Ordering::Relaxed),
        };
        lock(&self.connections).iter().filter(is_meant).map(Arc::clone).collect()
    }

    fn garbage(&self) -> Vec<u8> {
        let mut rng = lock(&self.rng);
        let length = 1 + rng.next() % 32;
        (0..length).map(|_| rng.next().to_le_bytes()[3]).collect()
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        if shared.faults.borrow().is_refusing {
            reset(&near);
            continue;
        }
        tokio::spawn(serve(near, target, Arc::clone(&shared)));
    }
}

async fn serve(near: TcpStream, target: SocketAddr, shared: Arc<Shared>) {
    let Ok(far) = TcpStream::connect(target).await else { return reset(&near) };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (cut, mut is_cut) = watch::channel(None);
    let connection = Arc::new(Connection { is_subscribed: AtomicBool::new(false), cut });
    lock(&shared.connections).push(Arc::clone(&connection));
    let (near, far) = (Arc::new(near), Arc::new(far));
    let up = Pump { from: Arc::clone(&near), to: Arc::clone(&far), is_up: true };
    let down = Pump { from: Arc::clone(&far), to: Arc::clone(&near), is_up: false };
    tokio::select! {
        _ = async { tokio::join!(up.run(&connection, &shared), down.run(&connection, &shared)) } => {}
        _ = is_cut.changed() => if *is_cut.borrow() == Some(Close::Rst) {
            reset(&near);
            reset(&far);
        }
    }
    lock(&shared.connections).retain(|other| !Arc::ptr_eq(other, &connection));
}

/// Has the connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One direction of a connection.
struct Pump {
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    is_up: bool,
}

impl Pump {
    /// Reads and writes side by side, so that what is delayed is not delayed twice.
    async fn run(self, connection: &Connection, shared: &Shared) {
        let (chunks, arrived) = mpsc::channel(1_024);
        tokio::join!(self.read(chunks, connection), self.write(arrived, connection, shared));
    }

    async fn read(&self, chunks: mpsc::Sender<(Instant, Vec<u8>)>, connection: &Connection) {
        let mut tail = Vec::new();
        loop {
            let mut chunk = vec![0; 16 * 1024];
            let length = match receive(&self.from, &mut chunk).await {
                Ok(length @ 1..) => length,
                Ok(_) | Err(_) => return,
            };
            chunk.truncate(length);
            if self.is_up && !connection.is_subscribed.load(Ordering::Relaxed) {
                tail.extend_from_slice(&chunk.to_ascii_uppercase());
                let found =
                    [&b"TRACKING"[..], b"SUBSCRIBE"].into_iter().any(|word| holds(&tail, word));
                connection.is_subscribed.fetch_or(found, Ordering::Relaxed);
                // A word may come in two pieces.
                tail.drain(..tail.len().saturating_sub(8));
            }
            if chunks.send((Instant::now(), chunk)).await.is_err() {
                return;
            }
        }
    }

    async fn write(
        &self,
        mut arrived: mpsc::Receiver<(Instant, Vec<u8>)>,
        connection: &Connection,
        shared: &Shared,
    ) {
        let mut faults = shared.faults.subscribe();
        let mut is_swallowing = false;
        while let Some((at, chunk)) = arrived.recv().await {
            let mut flow = self.flow(&faults.borrow_and_update(), connection);
            while flow == Flow::Stall {
                if faults.changed().await.is_err() {
                    return;
                }
                flow = self.flow(&faults.borrow_and_update(), connection);
            }
            is_swallowing |= flow == Flow::Swallow;
            if !is_swallowing && self.pass(flow, at, &chunk, shared).await.is_err() {
                // Nobody reads any more; what the other direction still has to say goes on.
                return;
            }
        }
        if !is_swallowing {
            let _ = SockRef::from(&*self.to).shutdown(std::net::Shutdown::Write);
        }
    }

    fn flow(&self, faults: &Faults, connection: &Connection) -> Flow {
        let is_subscribed = connection.is_subscribed.load(Ordering::Relaxed);
        let fault = if is_subscribed { faults.invalidation } else { faults.others };
        if self.is_up { fault.to_server } else { fault.to_client }
    }

    async fn pass(&self, flow: Flow, at: Instant, chunk: &[u8], shared: &Shared) -> io::Result<()> {
        match flow {
            Flow::Pass | Flow::Stall | Flow::Swallow => {}
            Flow::Delay(by) => tokio::time::sleep_until(at + by).await,
            Flow::Garbage => send(&self.to, &shared.garbage()).await?,
            Flow::Drip(pause) => {
                for byte in chunk {
                    tokio::time::sleep(pause).await;
                    send(&self.to, &[*byte]).await?;
                }
                return Ok(());
            }
        }
        send(&self.to, chunk).await
    }
}

async fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic under the lock")
}

/// The seed of this run: the one in `PORTCULLIS_TEST_SEED`, or a new one.
pub fn seed() -> u64 {
    if let Ok(text) = std::env::var("PORTCULLIS_TEST_SEED") {
        return text.parse().expect("PORTCULLIS_TEST_SEED is a number");
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_nanos() % u128::from(u64::MAX)).expect("less than that")
}

/// SplitMix64: good enough for rubbish, and the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
