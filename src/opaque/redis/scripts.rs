//! The scripts, each of which Redis runs in one step. Every key is named to the server.

/// Adds the tokens from the key `first` on, of which the arguments from `arg` on say: time to live,
/// number of the arguments that follow, fields and values.
pub(super) const ADD: &str = r"
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
pub(super) const PUT: &str = r"
if is_taken(1) then return 0 end
add(1, 1)
return 1";

/// KEYS: the old token, its successors. ARGV: at, then of each successor. In this order: if the
/// server gives up in between, successors that nobody was told of are there, and no token is lost.
pub(super) const ROTATE: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 'unknown' end
if kind ~= 'hash' then return 'corrupt' end
if redis.call('HEXISTS', KEYS[1], 'used') == 1 then return 'used' end
if is_taken(2) then return 'taken' end
add(2, 2)
redis.call('HSET', KEYS[1], 'used', ARGV[1])
return 'done'";

/// After [`MOVE_END`](crate::store::redis::MOVE_END). KEYS: token. ARGV: expires, the longest time to
/// live, claims or nothing. Says 1 where it is there, -1 where its end cannot be read.
pub(super) const EXTEND: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 0 end
if kind ~= 'hash' or not move_end(KEYS[1], ARGV[1], ARGV[2]) then return -1 end
if ARGV[3] then redis.call('HSET', KEYS[1], 'claims', ARGV[3]) end
return 1";

/// KEYS: the old token. ARGV: at, its successors. The step that decides a rotation, in the place of
/// [`ROTATE`], where the successors are on other servers.
pub(super) const COMMIT: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return 'unknown' end
if kind ~= 'hash' then return 'corrupt' end
if redis.call('HEXISTS', KEYS[1], 'used') == 1 then return 'used' end
redis.call('HSET', KEYS[1], 'used', ARGV[1], 'heirs', ARGV[2])
redis.call('HDEL', KEYS[1], 'parent')
return 'done'";
