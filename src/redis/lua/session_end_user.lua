-- Ends all sessions of a user, perhaps but one: their epoch goes, and a session of another epoch is none.
-- KEYS: epoch, index, the session that stays (any other key of the user where none does)
-- ARGV: next epoch, name in the index of the one that stays, or ''
-- Reply: how many the index had, without the one that stays; 0 where this has been done before
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
local count = epoch and redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%.0f', now), '+inf') or 0
local of, ends = false, false
if ARGV[2] ~= '' then of, ends = unpack(redis.call('HMGET', KEYS[3], 'e', 'x')) end
redis.call('UNLINK', KEYS[2])
if not epoch or of ~= epoch then
  redis.call('UNLINK', KEYS[1])
  return count
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', math.max(1, redis.call('PTTL', KEYS[1])))
redis.call('HSET', KEYS[3], 'e', ARGV[1])
redis.call('ZADD', KEYS[2], ends, ARGV[2])
redis.call('PEXPIRE', KEYS[2], math.max(1, ends - now))
return math.max(0, count - 1)
