//! The yardstick of `benches/load`: the least that a hyper server can do for a request.
//!
//! It answers every request 200 with an empty body and the headers it was given on its command
//! line, so that the gate's figure can be read as "what deciding costs on top of HTTP". It is
//! written as the hyper guide would write it: an accept loop, a task for each connection, keep-alive,
//! `TCP_NODELAY`, hyper's defaults otherwise. It reads no token and never looks at the request.
//!
//! ```text
//! bare_server --listen 127.0.0.1:8081 [--header "Name: value"]...
//! ```
//!
//! `cargo bench` starts it without `--listen`; then it prints how it is used and ends.
#![expect(clippy::print_stdout, reason = "a command that explains itself")]

use std::{convert::Infallible, env, io, net::SocketAddr, process::ExitCode, sync::Arc};

use http_body_util::Empty;
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    header::{HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const USAGE: &str = "usage: bare_server --listen ADDRESS:PORT [--header \"Name: value\"]...\n\
                     It is started by benches/load, which measures it beside the gate.";

fn main() -> ExitCode {
    match parse(env::args().skip(1)) {
        Ok(Some(options)) => match run(options) {
            Ok(never) => match never {},
            Err(error) => fail(&error.to_string(), 69),
        },
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(mistake) => fail(&mistake, 64),
    }
}

/// The command line's flags.
struct Options {
    listen: SocketAddr,
    headers: HeaderMap,
}

/// `None` when there is no `--listen`: it is then cargo's own run of all benches.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let (mut listen, mut headers) = (None, HeaderMap::new());
    while let Some(flag) = arguments.next() {
        match flag.as_str() {
            "--bench" => {}
            "--listen" => listen = Some(value(&mut arguments, &flag)?),
            "--header" => {
                let (name, value) = header(&value(&mut arguments, &flag)?)?;
                headers.append(name, value);
            }
            // A filter or a flag of cargo's test harness, which is not ours to judge.
            _ if listen.is_none() => return Ok(None),
            _ => return Err(format!("unknown argument {flag}\n{USAGE}")),
        }
    }
    let Some(listen) = listen else { return Ok(None) };
    let listen = listen.parse().map_err(|_| format!("not an address: {listen}"))?;
    Ok(Some(Options { listen, headers }))
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
    let listener = TcpListener::bind(options.listen).await?;
    let headers = Arc::new(options.headers);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, Arc::clone(&headers)));
    }
}

/// One connection for as long as the client keeps it. hyper adds `Date` and `Content-Length: 0`.
async fn serve(stream: TcpStream, headers: Arc<HeaderMap>) {
    let service = service_fn(move |_: Request<Incoming>| {
        let mut answer = Response::new(Empty::<Bytes>::new());
        answer.headers_mut().clone_from(&headers);
        async move { Ok::<_, Infallible>(answer) }
    });
    // A client that goes away is no news here: the script counts failed answers at the client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("bare_server: {message}");
    ExitCode::from(code)
}
