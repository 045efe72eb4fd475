//! The fixture: a redis-server that writes nothing to disk, gates as an operator would start them, an issuer; and sessions,
//! written into the store as src/session/redis.rs documents it, with tokens signed here.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use portcullis::{
    secret::Secret,
    token::{Algorithm, SigningKey},
};
use serde_json::{Map, json};

use crate::{
    load::{Connection, question},
    support::{
        gate::Gate,
        http::{bearer, request},
        issuer::{ALICE, Issuer, SCOPES},
        realm::Realm,
        redis::{RedisServer, Transport},
        tokens,
    },
};

/// The database of sessions, where LOGIN_REDIS_DB is not set.
const SESSIONS: u32 = 9;
/// The lifetime of a bench's sessions.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// The number of sessions of a user.
const OF_A_USER: usize = 100;
/// The number of sessions in one write to the server.
const AT_ONCE: usize = 1_000;

/// Everything that runs.
pub struct Fixture {
    pub gates: Vec<Gate>,
    pub issuer: Issuer,
    /// The server, where there is one alone that this bench started.
    server: Option<RedisServer>,
    realm: Realm,
    key: SigningKey,
}

impl Fixture {
    /// Two gates with all as by default, at the server itself.
    pub fn start() -> Self {
        let server = RedisServer::start_with(Transport::Tcp, &["--appendonly", "no"]);
        let server = server.expect("redis-server (Debian: apt-get install redis-server)");
        let url = server.url();
        Self::on(server, &url, 2)
    }

    /// So many gates, at another address of that server.
    pub fn on(server: RedisServer, url_of_gates: &str, gates: usize) -> Self {
        let fixture = Self::at(&server.url(), url_of_gates, gates);
        Self { server: Some(server), ..fixture }
    }

    /// So many gates, and an issuer, of a store that somebody else looks after.
    pub fn at(url_of_issuer: &str, url_of_gates: &str, gates: usize) -> Self {
        let realm = Realm::issuing().with("DB_URL", url_of_issuer);
        let realm = realm.without("SESSION_STALENESS").without("STORE_TIMEOUT");
        realm.add_user(ALICE.0, ALICE.1, &SCOPES);
        let issuer = Issuer::start(&realm);
        let mut settings = realm.settings().clone();
        for name in ["AUTHORIZATION_SERVER", "ISSUER_LISTEN", "INTERNAL_LISTEN", "GRPC_LISTEN"] {
            settings.remove(name);
        }
        settings.remove("PRIVATE_KEY_FILE");
        settings.insert("DB_URL".to_owned(), url_of_gates.to_owned());
        let gates = (0..gates).map(|_| Gate::start(realm.folder(), &settings)).collect();
        let pem = Secret::new(realm.private_pem());
        let key = SigningKey::from_private_pem(Algorithm::ES256, &pem).unwrap();
        Self { gates, issuer, server: None, realm, key }
    }

    /// The one server.
    pub fn server(&self) -> &RedisServer {
        self.server.as_ref().unwrap()
    }

    /// The addresses of the gates.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.gates.iter().map(|gate| gate.address).collect()
    }

    /// The mode in which the gates are told of changes.
    pub fn invalidation(&self) -> String {
        let ready = self.gates[0].ready().json();
        ready["invalidation"].as_str().unwrap_or("?").to_owned()
    }

    /// A connection to the database of sessions.
    pub fn redis(&self) -> redis::Connection {
        let url = format!("{}/{SESSIONS}", self.server().url());
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    /// Writes the sessions of these numbers.
    pub fn write(&self, numbers: std::ops::Range<usize>) {
        let mut connection = self.redis();
        let (now, until) = (millis(SystemTime::now()), millis(SystemTime::now() + LIFETIME));
        let numbers: Vec<usize> = numbers.collect();
        for batch in numbers.chunks(AT_ONCE) {
            let mut pipeline = redis::pipe();
            for number in batch {
                let (id, user) = (id(*number), user(*number));
                let (key, of_user) =
                    (format!("portcullis:session:{id}"), format!("portcullis:user:{user}"));
                let record = [("user", user.as_str()), ("created", &now), ("last_seen", &now)];
                pipeline.hset_multiple(&key, &record).ignore();
                pipeline
                    .hset_multiple(&key, &[("expires", until.as_str()), ("claims", "{}")])
                    .ignore();
                pipeline.pexpire(&key, i64::try_from(LIFETIME.as_millis()).unwrap()).ignore();
                pipeline.zadd(of_user, &id, &now).ignore();
            }
            pipeline.query::<()>(&mut connection).unwrap();
        }
    }

    /// A token of that session; another one for each `variant`.
    pub fn token(&self, number: usize, variant: usize) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(self.realm.setting("ISSUER").unwrap()));
        claims.insert("sub".to_owned(), json!(user(number)));
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(now + LIFETIME.as_secs()));
        claims.insert("sid".to_owned(), json!(id(number)));
        claims.insert("jti".to_owned(), json!(format!("{variant:032x}")));
        self.key.sign(&claims).unwrap()
    }

    /// Questions with tokens of these sessions.
    pub fn questions(&self, numbers: std::ops::Range<usize>) -> Arc<Vec<Vec<u8>>> {
        Arc::new(numbers.map(|number| question(&self.token(number, 0))).collect())
    }

    /// Has every gate answer each of these once.
    pub fn warm(&self, questions: &[Vec<u8>]) {
        for gate in &self.gates {
            let mut connection = Connection::open(gate.address);
            for question in questions {
                let deadline = Instant::now() + Duration::from_secs(10);
                while connection.ask(question) != 200 {
                    assert!(Instant::now() < deadline, "a gate does not let a session pass");
                }
            }
        }
    }

    /// Alice logs in; the token and the id of her session.
    pub fn log_in(&self) -> (String, String) {
        let answer = self.issuer.log_in();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        let id = tokens::claims(&token)["sid"].as_str().unwrap().to_owned();
        (token, id)
    }

    /// The question to the issuer that ends a session.
    pub fn revocation(&self, id: &str) -> Vec<u8> {
        let host = format!("Host: {}", self.issuer.internal);
        let token = bearer(&self.issuer.admin_token);
        request("DELETE", &format!("/admin/sessions/{id}"), &[&host, &token], b"")
    }

    /// The number of times that the server was asked each of these commands.
    pub fn calls<const N: usize>(&self, commands: [&str; N]) -> [u64; N] {
        let stats: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.redis()).unwrap();
        commands.map(|command| {
            let start = format!("cmdstat_{command}:calls=");
            let line = stats.lines().find_map(|line| line.strip_prefix(&start));
            line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
        })
    }
}

/// The id of a session.
pub fn id(number: usize) -> String {
    format!("{number:032x}")
}

fn user(number: usize) -> String {
    format!("user-{}", number / OF_A_USER)
}

pub fn millis(moment: SystemTime) -> String {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().to_string()
}

/// The resident memory of a process, in KiB.
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The time that a process has had of the processors.
pub fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks: u64 =
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // Linux has shown a hundred a second to programs for as long as there is /proc.
    Duration::from_millis(ticks * 10)
}
