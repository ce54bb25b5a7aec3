//! What the server does in one step: Lua, run by `EVAL`, so that it works on any server of the protocol.

/// Claims a delivery and puts the outcome into the log, both or neither. Run again by the same claimant it says so again.
///
/// Keys: claim, log. Arguments: who claims, seconds that the claim lasts, length of the log, the outcome (empty: only claim).
/// Returns the place of the outcome in the log, `-` where it is not known or there is none, or nothing to a later claimant.
pub(super) const CLAIM: &str = "
local holder = redis.call('GET', KEYS[1])
if holder then
  if holder == ARGV[1] then return '-' end
  return false
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if ARGV[4] == '' then return '-' end
return redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'd', ARGV[4])
";

/// Keeps what was learned, unless a later state is there.
///
/// Keys: the state, the newest state's name. Arguments: the state's own name, its place in the log (comparable as text), then
/// fields and values.
pub(super) const KEEP: &str = "
local there = redis.call('HGET', KEYS[1], 'order')
if there and there > ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'order', ARGV[2])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[1])
return 1
";

/// Forgets the oldest records of a kind: those before a time, and those beyond a number. A thousand at a time.
///
/// Keys: the index by age. Arguments: what the keys of the records begin with, the oldest time to keep, most records.
pub(super) const FORGET: &str = "
local function forget(ids)
  for _, id in ipairs(ids) do
    redis.call('DEL', ARGV[1] .. id)
    redis.call('ZREM', KEYS[1], id)
  end
end
forget(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2], 'LIMIT', 0, 1000))
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
if over > 0 then forget(redis.call('ZRANGE', KEYS[1], 0, math.min(over, 1000) - 1)) end
return 0
";
