//! The yardstick of `benches/run`: the least that a hyper server can do for a request.
//!
//! It answers every request 200 with an empty body and the headers it was given on its command
//! line, so that the gate's figure can be read as "what deciding costs on top of HTTP". It is
//! written as the hyper guide would write it: an accept loop, a task for each connection, keep-alive,
//! `TCP_NODELAY`, hyper's defaults otherwise. It reads no token and never looks at the request.
//!
//! ```text
//! bare_server --listen 127.0.0.1:8081|unix:PATH [--http2] [--header "Name: value"]...
//! ```

use std::{convert::Infallible, env, io, process::ExitCode, sync::Arc};

use http_body_util::Empty;
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    header::{HeaderName, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

const USAGE: &str =
    "usage: bare_server --listen ADDRESS:PORT|unix:PATH [--http2] [--header \"Name: value\"]...";

fn main() -> ExitCode {
    match parse(env::args().skip(1)) {
        Ok(options) => match run(options) {
            Ok(never) => match never {},
            Err(error) => fail(&error.to_string(), 69),
        },
        Err(mistake) => fail(&mistake, 64),
    }
}

/// The command line's flags.
struct Options {
    listen: String,
    http2: bool,
    headers: HeaderMap,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let (mut listen, mut http2, mut headers) = (None, false, HeaderMap::new());
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--listen" => listen = Some(value(&mut arguments, &flag)?),
            "--http2" => http2 = true,
            "--header" => {
                let (name, value) = header(&value(&mut arguments, &flag)?)?;
                headers.append(name, value);
            }
            _ => return Err(format!("unknown argument {flag}\n{USAGE}")),
        }
    }
    let listen = listen.ok_or_else(|| USAGE.to_owned())?;
    Ok(Options { listen, http2, headers })
}

fn value(arguments: &mut impl Iterator<Item = String>, flag: &str) -> Result<String, String> {
    arguments.next().ok_or_else(|| format!("{flag} needs a value\n{USAGE}"))
}

/// One `Name: value` as hyper's types; the value may be empty.
fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let not_a_header = || format!("not a header: {line}");
    let (name, value) = line.split_once(':').ok_or_else(not_a_header)?;
    let name = name.trim().parse().map_err(|_| not_a_header())?;
    let value = value.trim().parse().map_err(|_| not_a_header())?;
    Ok((name, value))
}

/// Serves until it is killed; returns only when the address or the runtime cannot be had.
#[tokio::main]
async fn run(options: Options) -> io::Result<Infallible> {
    let (headers, http2) = (Arc::new(options.headers), options.http2);
    if let Some(path) = options.listen.strip_prefix("unix:") {
        let listener = UnixListener::bind(path)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, http2, Arc::clone(&headers)));
        }
    }
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, http2, Arc::clone(&headers)));
    }
}

/// One connection for as long as the client keeps it. hyper adds `Date` and `Content-Length: 0`.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    http2: bool,
    headers: Arc<HeaderMap>,
) {
    let service = service_fn(move |_: Request<Incoming>| {
        let mut answer = Response::new(Empty::<Bytes>::new());
        answer.headers_mut().clone_from(&headers);
        async move { Ok::<_, Infallible>(answer) }
    });
    let stream = TokioIo::new(stream);
    // A client that goes away is no news here: failed answers are counted at the client.
    if http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(stream, service).await;
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("bare_server: {message}");
    ExitCode::from(code)
}
