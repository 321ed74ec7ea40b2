-- Ends all sessions of a user, optionally except one. Their epoch is dropped, and a session with a different epoch is
-- invalid.
-- KEYS: epoch, index, the session to keep (if none, any key of the user)
-- ARGV: next epoch, name in the index of the session to keep, or ''
-- Reply: how many the index had, not counting the one that is kept; 0 if the sessions have already been ended
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
