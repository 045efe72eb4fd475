//! Scripts: a server runs one in a single step.

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, ToRedisArgs};

/// A function for scripts: moves the end of a hash forward, never back, and keeps it as much longer, up
/// to the longest time to live. Says its time to live, or nothing where its end cannot be read.
pub(crate) const MOVE_END: &str = r"
local function move_end(key, expires, longest)
  local kept = redis.call('HGET', key, 'expires')
  if not kept or not string.match(kept, '^%d+$') then return nil end
  local ttl = redis.call('PTTL', key)
  local by = tonumber(expires) - tonumber(kept)
  if by > 0 then
    redis.call('HSET', key, 'expires', expires)
    if ttl >= 0 then
      ttl = math.min(ttl + by, tonumber(longest))
      redis.call('PEXPIRE', key, string.format('%.0f', ttl))
    end
  end
  return ttl
end
";

/// A script, which servers keep by its hash.
///
/// A server that does not know it gets all of its code. That includes a server of a cluster that
/// has just got the key, which `SCRIPT LOAD` would not reach.
#[derive(Clone, Debug)]
pub struct Script {
    code: String,
    hash: String,
}

impl Script {
    /// A script of this code.
    pub fn new(code: &str) -> Self {
        Self { code: code.to_owned(), hash: redis::Script::new(code).get_hash().to_owned() }
    }

    /// A call with one key so far.
    pub fn key(&self, key: impl ToRedisArgs) -> Call<'_> {
        let mut call = self.call();
        call.key(key);
        call
    }

    /// A call with one argument so far.
    pub fn arg(&self, argument: impl ToRedisArgs) -> Call<'_> {
        let mut call = self.call();
        call.arg(argument);
        call
    }

    /// A call.
    pub fn call(&self) -> Call<'_> {
        Call { script: self, keys: Vec::new(), arguments: Vec::new() }
    }
}

/// A script with its keys and arguments.
#[derive(Debug)]
pub struct Call<'s> {
    script: &'s Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Call<'_> {
    /// Adds a key. All keys of a script are named, as Dragonfly and clusters demand.
    pub fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// Runs it on the server.
    ///
    /// # Errors
    /// The error of the server or the connection.
    pub async fn invoke_async<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<T> {
        match self.by_hash().query_async(connection).await {
            Err(error) if is_unknown(&error) => self.in_full().query_async(connection).await,
            done => done,
        }
    }

    /// The key of the record that it changes: the first.
    pub(super) fn first_key(&self) -> &[u8] {
        self.keys.first().map_or(&[], Vec::as_slice)
    }

    /// The command for a server that knows the script.
    pub(super) fn by_hash(&self) -> redis::Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// The command for any server.
    pub(super) fn in_full(&self) -> redis::Cmd {
        self.command("EVAL", &self.script.code)
    }

    fn command(&self, name: &str, script: &str) -> redis::Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

/// Runs all calls in one round trip, each by itself.
///
/// # Errors
/// The answers are lost. A server's error about one call is that call's outcome.
pub async fn invoke_all<T: FromRedisValue>(
    calls: &[Call<'_>],
    connection: &mut impl ConnectionLike,
) -> RedisResult<Vec<RedisResult<T>>> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for call in calls {
        pipeline.add_command(call.by_hash());
    }
    let mut outcomes: Vec<RedisResult<T>> = pipeline.query_async(connection).await?;
    for (call, outcome) in calls.iter().zip(&mut outcomes) {
        if outcome.as_ref().is_err_and(is_unknown) {
            *outcome = call.invoke_async(connection).await;
        }
    }
    Ok(outcomes)
}

/// Returns whether the server does not know the script, and so has done nothing.
pub(super) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
