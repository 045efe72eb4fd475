//! Servers that give one fixed answer to every request, or none at all.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Listens for as long as the test process lives. What it sends, it sends once for each piece of a
/// request that it reads; nothing: it closes.
pub fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind(super::free_address()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 64 * 1_024];
                while let Ok(1..) = stream.read(&mut request) {
                    if answer.is_empty() || stream.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Listens and reads for as long as the test process lives, and never answers. Counts the pieces of requests that it reads.
pub fn silent() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(super::free_address()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let counter = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&counter);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let mut request = [0; 64 * 1_024];
                while let Ok(1..) = stream.read(&mut request) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (address, counter)
}
