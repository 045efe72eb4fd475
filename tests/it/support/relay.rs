//! A relay in front of the gate that counts connections: it shows whether a gateway keeps them.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Passes bytes on, both ways.
pub struct Relay {
    /// The address on which it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Relay {
    /// Starts it; it lives as long as the test process.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(super::free_address()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let accepted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(far) = TcpStream::connect(target) else { continue };
                let (near_copy, far_copy) =
                    (near.try_clone().expect("a handle"), far.try_clone().expect("a handle"));
                std::thread::spawn(move || pass(near, far));
                std::thread::spawn(move || pass(far_copy, near_copy));
            }
        });
        Self { address, accepted }
    }

    /// The number of connections that came in so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
