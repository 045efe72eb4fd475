//! A mail server that keeps what it is handed: SMTP with STARTTLS, with TLS from the first byte, or plain, and with a
//! password where one is asked for.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;
use super::certificates::Certificates;
use super::https::der;
use super::realm::Realm;

/// The user and the password of the server.
pub const MAIL_USER: (&str, &str) = ("portcullis", "a mail server's password");

/// The protection that it offers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Offers {
    /// STARTTLS.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Nothing.
    Nothing,
}

/// A mail as it was handed over.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The addresses of its envelope.
    pub to: Vec<String>,
    /// Its head.
    pub head: String,
    /// Its text, decoded.
    pub text: String,
    /// Its HTML, decoded.
    pub html: String,
    /// True where it came by TLS.
    pub by_tls: bool,
    /// True where its sender logged in.
    pub logged_in: bool,
}

/// The server, on a free port.
pub struct MailServer {
    /// Its address.
    pub address: SocketAddr,
    mails: Mutex<Receiver<Mail>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    /// Starts it; it ends with the tests.
    pub fn start(certificates: &Certificates, offers: Offers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (sender, mails) = channel();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (config, seen) = (server_config(certificates), Arc::clone(&commands));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let talk = Talk {
                    config: config.clone(),
                    offers,
                    mails: sender.clone(),
                    seen: seen.clone(),
                };
                std::thread::spawn(move || talk.serve(stream));
            }
        });
        Self { address, mails: Mutex::new(mails), commands }
    }

    /// The next mail.
    pub fn next(&self) -> Mail {
        self.mails.lock().expect("a queue").recv_timeout(PATIENCE).expect("a mail")
    }

    /// The mails that came and were not looked at.
    pub fn rest(&self) -> Vec<Mail> {
        self.mails.lock().expect("a queue").try_iter().collect()
    }

    /// The commands that it was sent so far.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().expect("a list").clone()
    }
}

impl Mail {
    /// The token of the link in its text, which is what follows `#`.
    pub fn token(&self) -> String {
        let (_, rest) = self.text.split_once('#').unwrap_or_else(|| panic!("no link: {self:?}"));
        rest.split_whitespace().next().expect("a token").to_owned()
    }
}

impl Realm {
    /// The same, with mails by this server.
    pub fn mailing(self, server: &MailServer, certificates: &Certificates, tls: &str) -> Self {
        self.with("SMTP_HOST", "localhost")
            .with("SMTP_PORT", &server.address.port().to_string())
            .with("SMTP_TLS", tls)
            .with("SMTP_CA_FILE", &certificates.path("servers-ca.pem").display().to_string())
            .with("SMTP_USER", MAIL_USER.0)
            .with("SMTP_PASSWORD", MAIL_USER.1)
            .with("MAIL_FROM", "Wonderland <accounts@wonder.example>")
            .with("ACCOUNT_LINK_URL", "https://app.example/account?do={purpose}#{token}")
    }
}

fn server_config(certificates: &Certificates) -> Arc<ServerConfig> {
    let read = |name: &str| std::fs::read_to_string(certificates.path(name)).expect("a file");
    let key = PrivateKeyDer::from_pem_slice(read("server-key.pem").as_bytes()).expect("a key");
    let chain = vec![der(&read("server.pem")).into()];
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a pair"))
}

/// The parts that a connection needs.
struct Talk {
    config: Arc<ServerConfig>,
    offers: Offers,
    mails: Sender<Mail>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// The end of a conversation.
enum End {
    /// The client wants TLS now.
    StartTls,
    /// It went away.
    Gone,
}

impl Talk {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let secured = |stream: TcpStream| {
            let connection = ServerConnection::new(self.config.clone()).expect("a connection");
            StreamOwned::new(connection, stream)
        };
        if self.offers == Offers::Tls {
            self.converse(&mut BufReader::new(secured(stream)), true, true);
            return;
        }
        let Ok(again) = stream.try_clone() else { return };
        if let Some(End::StartTls) = self.converse(&mut BufReader::new(stream), true, false) {
            self.converse(&mut BufReader::new(secured(again)), false, true);
        }
    }

    /// Answers commands; `None` where the connection broke.
    fn converse<S: Read + Write>(
        &self,
        stream: &mut BufReader<S>,
        greets: bool,
        by_tls: bool,
    ) -> Option<End> {
        if greets {
            say(stream, "220 mail.test ESMTP")?;
        }
        let (mut to, mut logged_in) = (Vec::new(), false);
        loop {
            let line = hear(stream)?;
            self.seen.lock().expect("a list").push(line.clone());
            let command = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            match command.as_str() {
                "EHLO" if self.offers == Offers::StartTls && !by_tls => {
                    say(stream, "250-mail.test\r\n250 STARTTLS")?;
                }
                "EHLO" => say(stream, "250-mail.test\r\n250 AUTH PLAIN")?,
                "STARTTLS" => {
                    say(stream, "220 go ahead")?;
                    return Some(End::StartTls);
                }
                "AUTH" => {
                    logged_in = is_right(&line);
                    say(stream, if logged_in { "235 welcome" } else { "535 no" })?;
                }
                "RCPT" => {
                    to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                    say(stream, "250 fine")?;
                }
                "DATA" => {
                    say(stream, "354 go ahead")?;
                    let mail = read_mail(stream, std::mem::take(&mut to), by_tls, logged_in)?;
                    let _ = self.mails.send(mail);
                    say(stream, "250 taken")?;
                }
                "QUIT" => {
                    say(stream, "221 bye")?;
                    return Some(End::Gone);
                }
                _ => say(stream, "250 fine")?,
            }
        }
    }
}

fn is_right(line: &str) -> bool {
    let shown = line.split(' ').nth(2).and_then(|text| STANDARD.decode(text).ok());
    shown == Some(format!("\0{}\0{}", MAIL_USER.0, MAIL_USER.1).into_bytes())
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, line: &str) -> Option<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).ok()?;
    stream.get_mut().flush().ok()
}

fn hear<S: Read>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

fn read_mail<S: Read>(
    stream: &mut BufReader<S>,
    to: Vec<String>,
    by_tls: bool,
    logged_in: bool,
) -> Option<Mail> {
    let mut lines = Vec::new();
    loop {
        let line = hear(stream)?;
        if line == "." {
            break;
        }
        lines.push(line.strip_prefix('.').map_or(line.clone(), str::to_owned));
    }
    let all = lines.join("\n");
    let (head, body) = all.split_once("\n\n").unwrap_or((&all, ""));
    let boundary = head.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next());
    let marker = format!("--{}", boundary.unwrap_or("none"));
    let part = |kind: &str| {
        let mut parts = body.split(&marker);
        let found = parts.find(|part| part.contains(kind)).unwrap_or_default();
        let (head, body) = found.trim_start().split_once("\n\n").unwrap_or_default();
        decoded(head, body)
    };
    let plain = |kind: &str| part(kind).replace("\r\n", "\n");
    let (text, html) = (plain("text/plain"), plain("text/html"));
    Some(Mail { to, head: head.to_owned(), text, html, by_tls, logged_in })
}

/// The content of a part, whatever its encoding (RFC 2045, section 6).
fn decoded(head: &str, body: &str) -> String {
    let head = head.to_ascii_lowercase();
    if head.contains("base64") {
        let joined: String = body.split_whitespace().collect();
        let bytes = STANDARD.decode(joined).expect("base64");
        return String::from_utf8(bytes).expect("UTF-8");
    }
    if !head.contains("quoted-printable") {
        return body.to_owned();
    }
    let joined = body.replace("=\n", "");
    let (mut bytes, mut rest) = (Vec::new(), joined.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'=', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
