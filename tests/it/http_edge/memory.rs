//! The memory of the gate that a small number of bytes can take.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::Edge;
use crate::support::{PATIENCE, realm::Realm};

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// The most memory that a process has had, in KiB.
fn peak(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn one_field_of_a_byte_sent_over_and_over_takes_no_memory_worth_telling() {
    const STREAMS: u32 = 120;
    let edge = Edge::start(Realm::new());
    let before = peak(edge.gate.id());
    let mut socket = TcpStream::connect(edge.gate.address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut reading = socket.try_clone().expect("a socket");
    // POST /validate, then an empty "age" 30,000 times, and the body never comes.
    let block = [&b"\x83\x86\x44\x09/validate"[..], &[0x95; 30_000]].concat();
    let writing = std::thread::spawn(move || {
        let (first, second) = block.split_at(16_000);
        let mut bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
        for number in 0..STREAMS {
            bytes.extend(frame(1, 0, number * 2 + 1, first));
            bytes.extend(frame(9, 4, number * 2 + 1, second));
        }
        socket.write_all(&bytes).expect("the gate reads");
    });
    let mut answered = 0;
    while answered < STREAMS {
        let mut head = [0; 9];
        reading.read_exact(&mut head).expect("a frame");
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        reading.read_exact(&mut payload).expect("its payload");
        answered += u32::from(kind == 1);
    }
    writing.join().expect("all was sent");
    let grown = peak(edge.gate.id()) - before;
    assert!(grown < 96 << 10, "{grown} KiB");
}
