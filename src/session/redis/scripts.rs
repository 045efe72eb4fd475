//! The scripts, each of which Redis runs in one step. Every key is named to the server, and on a
//! cluster there is one key a script: while a slot moves, a server refuses those of several keys of which one does not exist.

/// KEYS: session. ARGV: ttl, created, id, then fields and values. Says 0 where the id is taken.
const RECORD: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])";

/// KEYS: ..., user. ARGV: ttl, created, id. Says 1.
pub(super) const INDEX: &str = r"
local index = KEYS[#KEYS]
local ttl = redis.call('PTTL', index)
redis.call('ZADD', index, ARGV[2], ARGV[3])
if ttl < tonumber(ARGV[1]) then redis.call('PEXPIRE', index, ARGV[1]) end
return 1";

/// KEYS: session, user. ARGV: ttl, created, id, then fields and values. Says 1 where it was added.
pub(super) fn put() -> String {
    format!("{RECORD}{INDEX}")
}

/// The same without the index, for a cluster.
pub(super) fn put_record() -> String {
    format!("{RECORD}\nreturn 1")
}

/// Begins where `ttl` is for how long the session is kept: -2 where it is gone, and nothing is noted
/// then. KEYS: ..., seen. ARGV: at. Forward only; what cannot be read there is overwritten.
const NOTE: &str = r"
if ttl == -2 then return 0 end
local key = KEYS[#KEYS]
if redis.call('TYPE', key).ok == 'string' then
  local seen = tonumber(redis.call('GET', key))
  if seen and seen >= tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', key, ARGV[1])
if ttl >= 0 then redis.call('PEXPIRE', key, math.max(ttl, 1)) end
return 1";

/// KEYS: session, seen. ARGV: at.
pub(super) fn touch() -> String {
    format!("\nlocal ttl = redis.call('PTTL', KEYS[1]){NOTE}")
}

/// KEYS: seen. ARGV: at, and for how long the session is kept, which was asked before. Where the
/// session went in between, what is noted of it is nobody's, and goes when that would have.
pub(super) fn touch_alone() -> String {
    format!("\nlocal ttl = tonumber(ARGV[2]){NOTE}")
}

/// After [`MOVE_END`](crate::store::redis::MOVE_END). KEYS: session. ARGV: expires, the longest time to
/// live. Only where there is a session. Says 1 where there is one, for how long it is kept now, and
/// whose it is; -1 where its end cannot be read.
pub(super) const RENEW: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, ''} end
local ttl = move_end(KEYS[1], ARGV[1], ARGV[2])
if not ttl then return {-1, 0, ''} end
return {1, ttl, redis.call('HGET', KEYS[1], 'user') or ''}";

/// KEYS: user or seen. ARGV: a time to live, which it has from now on at least, if it is there.
pub(super) const KEEP: &str = r"
local ttl = redis.call('PTTL', KEYS[1])
if ttl >= 0 and ttl < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 0";

/// KEYS: session. Says whether it was there, and whose it was if that can be read.
pub(super) const REVOKE: &str = r"
local owner = redis.pcall('HGET', KEYS[1], 'user')
local gone = redis.call('DEL', KEYS[1])
if type(owner) ~= 'string' then owner = false end
return {gone, owner}";

/// KEYS: not-before. ARGV: at. Moves it forward, and says where it is. A server at `maxmemory` takes no
/// SET, but a script that has begun to write is let finish, and a DEL it takes: a user can be shut
/// out also then.
pub(super) const END_ALL: &str = r"
local before = redis.call('GET', KEYS[1])
if before and tonumber(before) and tonumber(before) > tonumber(ARGV[1]) then return before end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]";
