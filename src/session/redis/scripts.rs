//! What Redis does in one step. Every key is named to the server. A session and when it was seen
//! are always on one server; a user's index and not-before are, and may be on another one.

/// KEYS: session, seen. ARGV: ttl, created, id, then fields and values. Says 0 where the id is taken.
const RECORD: &str = r"
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])";

/// KEYS: ..., user. ARGV: ttl, created, id. Says 1.
pub(super) const INDEX: &str = r"
local index = KEYS[#KEYS]
local ttl = redis.call('PTTL', index)
redis.call('ZADD', index, ARGV[2], ARGV[3])
if ttl < tonumber(ARGV[1]) then redis.call('PEXPIRE', index, ARGV[1]) end
return 1";

/// KEYS: session, seen, user. ARGV: ttl, created, id, then fields and values. Says 1 where it was
/// added.
pub(super) fn put() -> String {
    format!("{RECORD}{INDEX}")
}

/// The same without the index, for a cluster.
pub(super) fn put_record() -> String {
    format!("{RECORD}\nreturn 1")
}

/// KEYS: session, seen. ARGV: at. Forward only, and only where there is a session; kept as long.
/// What cannot be read there is overwritten.
pub(super) const TOUCH: &str = r"
local ttl = redis.call('PTTL', KEYS[1])
if ttl == -2 then return 0 end
if redis.call('TYPE', KEYS[2]).ok == 'string' then
  local seen = tonumber(redis.call('GET', KEYS[2]))
  if seen and seen >= tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[2], ARGV[1])
if ttl >= 0 then redis.call('PEXPIRE', KEYS[2], math.max(ttl, 1)) end
return 1";

/// KEYS: session, seen. ARGV: expires, the longest time to live. Forward only, and only where there
/// is a session; both keys live on as much longer. Says 1 where there is one, for how long it is
/// kept now, and whose it is; -1 where its end or its owner cannot be read.
pub(super) const RENEW: &str = r"
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0, ''} end
local kept = redis.call('HMGET', KEYS[1], 'expires', 'user')
if not kept[1] or not string.match(kept[1], '^%d+$') then return {-1, 0, ''} end
local ttl = redis.call('PTTL', KEYS[1])
local by = tonumber(ARGV[1]) - tonumber(kept[1])
if by > 0 then
  redis.call('HSET', KEYS[1], 'expires', ARGV[1])
  if ttl >= 0 then
    ttl = math.min(ttl + by, tonumber(ARGV[2]))
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
    redis.call('PEXPIRE', KEYS[2], string.format('%.0f', ttl))
  end
end
return {1, ttl, kept[2] or ''}";

/// KEYS: user. ARGV: a time to live, which the index has from now on at least.
pub(super) const KEEP_INDEX: &str = r"
local ttl = redis.call('PTTL', KEYS[1])
if ttl >= 0 and ttl < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 0";

/// KEYS: session, seen. Says whether it was there, and whose it was if that can be read.
pub(super) const REVOKE: &str = r"
local owner = redis.pcall('HGET', KEYS[1], 'user')
local gone = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
if type(owner) ~= 'string' then owner = false end
return {gone, owner}";

/// KEYS: not-before, user. ARGV: at. Moves not-before forward and names the sessions that it ends.
pub(super) const END_ALL: &str = r"
local at = ARGV[1]
local before = redis.call('GET', KEYS[1])
if before and tonumber(before) and tonumber(before) > tonumber(at) then at = before
else redis.call('SET', KEYS[1], at) end
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at)";
