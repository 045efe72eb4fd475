//! One connection with its protocol: asks, reads answers, and connects again where the server closed.

use std::io;
use std::time::Instant;

use mio::{Registry, Token};

use crate::http1::Http1;
use crate::http2::Http2;
use crate::requests::Requests;
use crate::tally::Tally;
use crate::transport::{Target, Transport};

#[derive(Debug)]
enum Protocol {
    Http1(Http1),
    Http2(Http2),
}

/// A connection that has up to so many questions open at once.
#[derive(Debug)]
pub struct Connection {
    token: Token,
    transport: Transport,
    protocol: Protocol,
    at_once: usize,
    out: Vec<u8>,
    written: usize,
}

impl Connection {
    /// HTTP/1.1 for no streams, else HTTP/2 with so many.
    pub fn open(
        target: &Target,
        streams: usize,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let mut transport = target.connect()?;
        transport.register(registry, token)?;
        let protocol = match streams {
            0 => Protocol::Http1(Http1::default()),
            _ => Protocol::Http2(Http2::new()),
        };
        Ok(Self {
            token,
            transport,
            protocol,
            at_once: streams.max(1),
            out: Vec::new(),
            written: 0,
        })
    }

    pub fn outstanding(&self) -> usize {
        match &self.protocol {
            Protocol::Http1(http1) => http1.outstanding(),
            Protocol::Http2(http2) => http2.outstanding(),
        }
    }

    /// Asks as much as may be open, and no more than is left to ask.
    pub fn ask(&mut self, requests: &mut Requests, left: &mut u64) -> io::Result<()> {
        while *left > 0 && self.outstanding() < self.at_once {
            *left -= 1;
            let (request, now) = (requests.next(), Instant::now());
            match &mut self.protocol {
                Protocol::Http1(http1) => http1.ask(request, now, &mut self.out),
                Protocol::Http2(http2) => http2.ask(request, now, &mut self.out),
            }
        }
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        if let Protocol::Http2(http2) = &mut self.protocol {
            http2.flush(&mut self.out);
        }
        while self.written < self.out.len() {
            match self.transport.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what is there.
    pub fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> io::Result<()> {
        loop {
            let length = match self.transport.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let bytes = &buffer[..length];
            let understood = match &mut self.protocol {
                Protocol::Http1(http1) => http1.receive(bytes, tally),
                Protocol::Http2(http2) => http2.receive(bytes, tally),
            };
            understood.map_err(io::Error::other)?;
            if length < buffer.len() && self.transport.is_drained_by_short_reads() {
                return Ok(());
            }
        }
    }

    /// A new connection in place of one that ended; what was open on it failed.
    pub fn reopen(
        &mut self,
        target: &Target,
        registry: &Registry,
        tally: &mut Tally,
    ) -> io::Result<()> {
        tally.failed += self.outstanding() as u64;
        tally.reconnected += 1;
        let streams = if matches!(self.protocol, Protocol::Http1(_)) { 0 } else { self.at_once };
        *self = Self::open(target, streams, registry, self.token)?;
        Ok(())
    }
}
