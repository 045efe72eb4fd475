//! A server that gives one fixed answer to every request.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
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
