//! Any bytes in any pieces, to servers with the hot loop and to servers with hyper alone: both answer the same bytes.
//!
//! One pair of servers shows all that was read of a head, so that a difference between the parsers is seen at once; the
//! other is the gate itself, with a good token among the seeds. With the hot loop each input is sent twice, since the gate
//! remembers heads that it let pass. `MARK` in the input ends a piece; a piece is sent once
//! all before it was read. The servers stay, on unix sockets, and each input has connections of its own.

#![no_main]

mod echo;
mod gate;
mod pair;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pair::Pair;
use tokio::runtime::{Builder, Runtime};

/// The end of a piece. Both bytes may stand in a piece, and beside each other where one ends another.
const MARK: [u8; 2] = [0xff, 0xfe];

struct Servers {
    runtime: Runtime,
    pairs: [Pair; 2],
}

static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let pairs = runtime.block_on(async { [echo::start(), gate::start().await] });
    Servers { runtime, pairs }
});

fuzz_target!(|input: &[u8]| {
    let pieces = pieces(input);
    let Servers { runtime, pairs } = &*SERVERS;
    for pair in pairs {
        let [first, again, plain] = runtime.block_on(pair.answers(&pieces));
        for hot in [first, again] {
            assert_eq!(hot.escape_ascii().to_string(), plain.escape_ascii().to_string());
        }
    }
});

fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let mut rest = input;
    let mut pieces = Vec::new();
    while let Some(at) = rest.windows(MARK.len()).position(|bytes| bytes == MARK) {
        pieces.push(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    pieces.push(rest);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
