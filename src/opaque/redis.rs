//! Opaque tokens in Redis, shared by the processes of many hosts: a hash each,
//! `portcullis:opaque:<digest>`.
//!
//! Every key that a script touches is named to the server, as Dragonfly demands; an exchange
//! names the old token's and its successors'. The server's own expiry only makes room. A used
//! token is kept until its end, so that whoever uses it again is known.

use std::collections::HashMap;

use async_trait::async_trait;
use redis::{RedisError, RedisResult, Script, ScriptInvocation};
use serde_json::{Map, Value};

use super::record::{OpaqueToken, TokenDigest, TokenKind};
use super::store::{Exchange, OpaqueStore, check_distinct, corrupt, taken};
use crate::clock::UnixTime;
use crate::session::{SessionId, StoreError, UserId};
use crate::storage::redis::{BATCH, Connection, Failure, LONGEST, Redis, Scan, time_to_live};

const PREFIX: &str = "portcullis:opaque:";

/// Adds the tokens from the key `first` on, of which the arguments from `arg` on say: time to live,
/// number of the arguments that follow, fields and values.
const ADD: &str = r"
local function is_taken(first)
  for i = first, #KEYS do if redis.call('EXISTS', KEYS[i]) == 1 then return true end end
  return false
end
local function add(first, arg)
  for i = first, #KEYS do
    local ttl, count = ARGV[arg], tonumber(ARGV[arg + 1])
    for at = arg + 2, arg + 1 + count, 2 do redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1]) end
    redis.call('PEXPIRE', KEYS[i], ttl)
    arg = arg + 2 + count
  end
end
";

/// KEYS: tokens. ARGV: of each. Says 1 where they were added.
const PUT: &str = r"
if is_taken(1) then return 0 end
add(1, 1)
return 1";

/// KEYS: the old token, its successors. ARGV: at, then of each successor. In this order: if the
/// server gives up in between, successors that nobody was told of are there, and no token is lost.
const EXCHANGE: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 'unknown' end
if kind ~= 'hash' then return 'corrupt' end
if redis.call('HEXISTS', KEYS[1], 'used') == 1 then return 'used' end
if is_taken(2) then return 'taken' end
add(2, 2)
redis.call('HSET', KEYS[1], 'used', ARGV[1])
return 'done'";

/// KEYS: token. ARGV: expires, the longest time to live, claims or nothing. Says 1 where it is
/// there, -1 where its end cannot be read.
const EXTEND: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 0 end
if kind ~= 'hash' then return -1 end
local kept = redis.call('HGET', KEYS[1], 'expires')
if not kept or not string.match(kept, '^%d+$') then return -1 end
if ARGV[3] then redis.call('HSET', KEYS[1], 'claims', ARGV[3]) end
local by = tonumber(ARGV[1]) - tonumber(kept)
if by <= 0 then return 1 end
redis.call('HSET', KEYS[1], 'expires', ARGV[1])
local ttl = redis.call('PTTL', KEYS[1])
if ttl >= 0 then
  ttl = math.min(ttl + by, tonumber(ARGV[2]))
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
end
return 1";

/// KEYS: tokens. ARGV: a moment. Deletes those that expired by then and says how many.
const PURGE: &str = r"
local gone = 0
for _, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == 'hash' then
    local kept = redis.call('HGET', key, 'expires')
    if kept and string.match(kept, '^%d+$') and tonumber(kept) <= tonumber(ARGV[1]) then
      gone = gone + redis.call('DEL', key)
    end
  end
end
return gone";

/// A token as Redis has it: bytes, which may be anything.
type Record = HashMap<String, Vec<u8>>;

/// Opaque tokens in Redis.
#[derive(Debug)]
pub struct RedisOpaque {
    redis: Redis,
    put: Script,
    exchange: Script,
    extend: Script,
    purge: Script,
}

impl RedisOpaque {
    /// Over a pool that is connected to the right database.
    pub fn new(redis: Redis) -> Self {
        let adding = |script| Script::new(&format!("{ADD}{script}"));
        let (put, exchange) = (adding(PUT), adding(EXCHANGE));
        Self { redis, put, exchange, extend: Script::new(EXTEND), purge: Script::new(PURGE) }
    }

    async fn connection(&self) -> Result<Connection, StoreError> {
        self.redis.connection().await.map_err(unnamed)
    }
}

#[async_trait]
impl OpaqueStore for RedisOpaque {
    async fn put(&self, tokens: &[OpaqueToken]) -> Result<(), StoreError> {
        check_distinct(tokens)?;
        let mut call = self.put.prepare_invoke();
        add(&mut call, tokens);
        let added: bool =
            call.invoke_async(&mut self.connection().await?).await.map_err(unnamed)?;
        if added { Ok(()) } else { Err(taken()) }
    }

    async fn get(&self, digest: &TokenDigest) -> Result<Option<OpaqueToken>, StoreError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(key(digest));
        let record: RedisResult<Record> = command.query_async(&mut self.connection().await?).await;
        let record = record.map_err(on(digest))?;
        if record.is_empty() { Ok(None) } else { read(digest, &record).map(Some) }
    }

    async fn exchange(
        &self,
        old: &TokenDigest,
        at: UnixTime,
        successors: &[OpaqueToken],
    ) -> Result<Exchange, StoreError> {
        check_distinct(successors)?;
        let mut call = self.exchange.key(key(old));
        call.arg(at.as_millis());
        add(&mut call, successors);
        let outcome: RedisResult<String> = call.invoke_async(&mut self.connection().await?).await;
        match outcome.map_err(on(old))?.as_str() {
            "done" => Ok(Exchange::Done),
            "used" => Ok(Exchange::Used),
            "unknown" => Ok(Exchange::Unknown),
            "taken" => Err(taken()),
            _ => Err(corrupt(old, "it is of another kind")),
        }
    }

    async fn extend(
        &self,
        digest: &TokenDigest,
        expires: UnixTime,
        claims: Option<&Map<String, Value>>,
    ) -> Result<bool, StoreError> {
        let mut call = self.extend.key(key(digest));
        call.arg(expires.as_millis()).arg(LONGEST);
        if let Some(claims) = claims {
            call.arg(json(claims));
        }
        let outcome: RedisResult<i64> = call.invoke_async(&mut self.connection().await?).await;
        match outcome.map_err(on(digest))? {
            -1 => Err(bad(digest, "expires")),
            found => Ok(found == 1),
        }
    }

    async fn remove(&self, digest: &TokenDigest) -> Result<bool, StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(key(digest));
        command.query_async(&mut self.connection().await?).await.map_err(on(digest))
    }

    async fn purge(&self, expired_before: UnixTime) -> Result<u64, StoreError> {
        let mut connection = self.connection().await?;
        let mut removed = 0;
        let mut tokens = Scan::of(PREFIX);
        while let Some(names) = tokens.next(&mut connection).await.map_err(unnamed)? {
            for batch in names.chunks(BATCH) {
                let mut call = self.purge.arg(expired_before.as_millis());
                for name in batch {
                    call.key(format!("{PREFIX}{name}"));
                }
                let gone: u64 = call.invoke_async(&mut connection).await.map_err(unnamed)?;
                removed += gone;
            }
        }
        Ok(removed)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A name that nobody has: a server that only says PONG may still refuse the keys.
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{PREFIX}?"));
        let asked = command.query_async(&mut self.connection().await?).await;
        asked.map(|_: Record| ()).map_err(unnamed)
    }

    fn describe(&self) -> String {
        format!("redis {}", self.redis.name())
    }
}

fn key(digest: &TokenDigest) -> String {
    format!("{PREFIX}{}", digest.name())
}

/// Hands tokens to a script that begins with [`ADD`].
fn add(call: &mut ScriptInvocation<'_>, tokens: &[OpaqueToken]) {
    for token in tokens {
        let fields = fields(token);
        call.key(key(&token.digest));
        call.arg(time_to_live(token.issued, token.expires)).arg(fields.len() * 2);
        for (field, value) in fields {
            call.arg(field).arg(value);
        }
    }
}

fn fields(token: &OpaqueToken) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("kind", token.kind.as_str().to_owned()),
        ("session", token.session.as_str().to_owned()),
        ("user", token.user.as_str().to_owned()),
        ("claims", json(&token.claims)),
        ("issued", token.issued.as_millis().to_string()),
        ("expires", token.expires.as_millis().to_string()),
    ];
    fields.extend(token.client.clone().map(|client| ("client", client)));
    fields.extend(token.used.map(|used| ("used", used.as_millis().to_string())));
    fields
}

fn json(claims: &Map<String, Value>) -> String {
    Value::Object(claims.clone()).to_string()
}

fn read(digest: &TokenDigest, record: &Record) -> Result<OpaqueToken, StoreError> {
    let wrong = |field| bad(digest, field);
    let optional = |field: &'static str| {
        let value = record.get(field).map(|bytes| std::str::from_utf8(bytes));
        value.transpose().map_err(|_| wrong(field))
    };
    let text = |field: &'static str| optional(field)?.ok_or_else(|| wrong(field));
    let optional_time = |field: &'static str| -> Result<_, StoreError> {
        let millis = optional(field)?.map(str::parse).transpose().map_err(|_| wrong(field))?;
        Ok(millis.map(UnixTime::from_millis))
    };
    let time = |field: &'static str| optional_time(field)?.ok_or_else(|| wrong(field));
    Ok(OpaqueToken {
        digest: *digest,
        kind: TokenKind::parse(text("kind")?).ok_or_else(|| wrong("kind"))?,
        session: SessionId::parse(text("session")?).map_err(|_| wrong("session"))?,
        user: UserId::parse(text("user")?).map_err(|_| wrong("user"))?,
        client: optional("client")?.map(str::to_owned),
        claims: serde_json::from_str(text("claims")?).map_err(|_| wrong("claims"))?,
        issued: time("issued")?,
        expires: time("expires")?,
        used: optional_time("used")?,
    })
}

fn bad(digest: &TokenDigest, field: &'static str) -> StoreError {
    corrupt(digest, format_args!("bad field {field}"))
}

/// For commands on one token.
fn on(digest: &TokenDigest) -> impl Fn(RedisError) -> StoreError {
    move |error| match Failure::of(&error) {
        Failure::WrongKind => corrupt(digest, "it is of another kind"),
        failure => unnamed(failure),
    }
}

/// For commands on no particular token.
fn unnamed(failure: impl Into<Failure>) -> StoreError {
    StoreError::of_redis(failure.into(), "?")
}
