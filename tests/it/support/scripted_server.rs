//! A server that says what a test wants it to say, keeps what it was asked, and can be made to wait.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
};

use serde_json::Value;

use super::{PATIENCE, free_address, poll};

/// The server; it lives as long as the test process. A clone is the same one.
#[derive(Clone)]
pub struct ScriptedServer {
    /// Its address.
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// The very bytes of an answer.
    answer: Vec<u8>,
    /// Whole requests, as text.
    questions: Vec<String>,
    is_held: bool,
}

impl ScriptedServer {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind(free_address()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { address, state }
    }

    /// The address of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers 200 with this from now on.
    pub fn says(&self, body: &Value) {
        self.answers("200 OK", "", body.to_string().as_bytes());
    }

    /// Answers with this status, these header lines and this body from now on.
    pub fn answers(&self, status: &str, lines: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{lines}Content-Length: \
             {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        self.sends([head.as_bytes(), body].concat());
    }

    /// Sends these bytes as an answer from now on.
    pub fn sends(&self, bytes: Vec<u8>) {
        self.state.0.lock().expect("no panic under the lock").answer = bytes;
    }

    /// Keeps answers back.
    pub fn hold(&self) {
        self.state.0.lock().expect("no panic under the lock").is_held = true;
    }

    /// Gives them out again.
    pub fn release(&self) {
        self.state.0.lock().expect("no panic under the lock").is_held = false;
        self.state.1.notify_all();
    }

    /// What it was asked since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state.0.lock().expect("no panic under the lock").questions)
    }

    /// Waits until it was asked something.
    pub fn wait_for_question(&self) {
        let has_one = || {
            let state = self.state.0.lock().expect("no panic under the lock");
            (!state.questions.is_empty()).then_some(())
        };
        poll("a question", PATIENCE, has_one);
    }
}

fn answer(mut stream: TcpStream, (state, changed): &(Mutex<State>, Condvar)) {
    let Some(question) = read(&mut stream) else { return };
    let mut state = state.lock().expect("no panic under the lock");
    state.questions.push(question);
    let state = changed.wait_while(state, |state| state.is_held).expect("no panic under the lock");
    let answer = state.answer.clone();
    drop(state);
    let _ = stream.write_all(&answer);
}

/// A request with its body.
fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |text| text.trim().parse().expect("a length"));
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(read @ 1..) => bytes.extend_from_slice(&more[..read]),
            Ok(0) | Err(_) => return None,
        }
    }
}
