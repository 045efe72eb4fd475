//! What Redis does in one step. Numbers are milliseconds, exact in a double; moments and durations
//! are bounded before they are sent.

/// What all scripts begin with. `fields` says `nil` where there is no record, and `false` where it
/// is not a hash of these fields; `number` says `nil` for what is none of ours.
pub(super) const COMMON: &str = r"
local function number(text)
  if text and #text < 17 and string.match(text, '^%d+$') then return tonumber(text) end
end
local function digits(n) return string.format('%.0f', n) end
local function fields(key, ...)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return nil end
  if kind ~= 'hash' then return false end
  return redis.call('HMGET', key, ...)
end
";

/// KEYS: lease. ARGV: at, until, value, time to live. Says 1 where it was set; 0 and what it holds
/// where there is a live one; -1 where it makes no sense.
pub(super) const ACQUIRE_LEASE: &str = r"
local kept = fields(KEYS[1], 'value', 'expires')
if kept == false then return {-1, ''} end
if kept then
  local expires = number(kept[2])
  if not kept[1] or not expires then return {-1, ''} end
  if expires > tonumber(ARGV[1]) then return {0, kept[1]} end
end
redis.call('HSET', KEYS[1], 'value', ARGV[3], 'expires', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {1, ''}";

/// KEYS: lease. ARGV: expected, value, until, the longest time to live. The server keeps it for as
/// much longer as it is now to live. Says 1 where it was replaced, -1 where it makes no sense.
pub(super) const REPLACE_LEASE: &str = r"
local kept = fields(KEYS[1], 'value', 'expires')
if kept == nil then return 0 end
local expires = kept and number(kept[2])
if not expires or not kept[1] then return -1 end
if kept[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'value', ARGV[2], 'expires', ARGV[3])
local ttl = redis.call('PTTL', KEYS[1])
local by = tonumber(ARGV[3]) - expires
if ttl >= 0 and by > 0 then
  redis.call('PEXPIRE', KEYS[1], digits(math.min(ttl + by, tonumber(ARGV[4]))))
end
return 1";

/// KEYS: bucket. ARGV: at, interval, depth, tolerance. Says how long to wait, 0 where one was
/// taken, -1 where the bucket makes no sense.
pub(super) const TAKE: &str = r"
local at, interval, depth, tolerance =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = fields(KEYS[1], 'full_at')
if kept == false then return -1 end
local full_at = 0
if kept then
  full_at = number(kept[1])
  if not full_at then return -1 end
end
local function keep(moment)
  redis.call('HSET', KEYS[1], 'full_at', digits(moment))
  redis.call('PEXPIRE', KEYS[1], digits(depth + interval + tolerance))
end
local empty = at + depth
local is_from_a_wrong_clock = full_at > empty + tolerance
local from = math.max(full_at, at)
if is_from_a_wrong_clock then from = empty end
local following = from + interval
if following > empty then
  if is_from_a_wrong_clock then keep(from) end
  return following - empty
end
keep(following)
return 0";

/// KEYS: bucket. ARGV: interval. Says -1 where the bucket makes no sense.
pub(super) const REFUND: &str = r"
local kept = fields(KEYS[1], 'full_at')
if kept == nil then return 0 end
local full_at = kept and number(kept[1])
if not full_at then return -1 end
redis.call('HSET', KEYS[1], 'full_at', digits(math.max(full_at - tonumber(ARGV[1]), 0)))
return 0";

/// KEYS: failures. ARGV: at, memory, tolerance, then the delays. Says how long to wait, 0 where it
/// was counted, -1 where the failures make no sense; and how many were counted before.
pub(super) const RECORD_FAILURE: &str = r"
local at, memory, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = fields(KEYS[1], 'count', 'last')
if kept == false then return {-1, 0} end
local count, last = 0, 0
if kept then
  count, last = number(kept[1]), number(kept[2])
  if not count or not last or count > 4294967295 then return {-1, 0} end
end
local function keep()
  redis.call('HSET', KEYS[1], 'count', digits(count), 'last', digits(last),
    'expires', digits(last + memory))
  redis.call('PEXPIRE', KEYS[1], digits(memory + tolerance))
end
if not kept or count == 0 or at >= last + memory then
  count, last = 1, at
  keep()
  return {0, 0}
end
local is_from_a_wrong_clock = last > at + tolerance
if is_from_a_wrong_clock then last = at end
local first = 4
local delay = tonumber(ARGV[first + count] or ARGV[#ARGV])
if #ARGV < first then delay = 0 end
delay = math.min(delay, memory)
local wait = 0
if delay > 0 then wait = math.max(last + delay - at, 0) end
if wait > 0 then
  if is_from_a_wrong_clock then keep() end
  return {wait, count}
end
local before = count
count, last = math.min(count + 1, 4294967295), math.max(last, at)
keep()
return {0, before}";

/// KEYS: failures. Says -1 where the failures make no sense.
pub(super) const UNDO_FAILURE: &str = r"
local kept = fields(KEYS[1], 'count')
if kept == nil then return 0 end
local count = kept and number(kept[1])
if not count or count > 4294967295 then return -1 end
if count > 0 then redis.call('HSET', KEYS[1], 'count', digits(count - 1)) end
return 0";

/// KEYS: record. ARGV: a field, a moment. Deletes it where its field lies at or before the moment,
/// and says how many that were.
pub(super) const PURGE: &str = r"
local kept = fields(KEYS[1], ARGV[1])
local over = kept and number(kept[1])
if over and over <= tonumber(ARGV[2]) then return redis.call('DEL', KEYS[1]) end
return 0";
