-- Sets or removes a schedule.
-- KEYS: 6 schedules (HASH: name, definition), 7 their next slots (ZSET: ms; '' is the latest time at which any was stored)
-- ARGV: 2 name, 3 definition, or '' to remove it, 4 next slot (ms), 5 maximum number of schedules of a queue
-- Reply: 1 done, 0 no such schedule, -1 there are too many; 1 if it existed before, otherwise 0; its next slot (ms)
local name, before = ARGV[2], redis.call('HGET', KEYS[6], ARGV[2])
local there = before and 1 or 0
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[6], name)
  redis.call('ZREM', KEYS[7], name)
  if redis.call('EXISTS', KEYS[6]) == 0 then redis.call('UNLINK', KEYS[7]) end
  return {there, there, 0}
end
if there == 0 and redis.call('HLEN', KEYS[6]) >= tonumber(ARGV[5]) then return {-1, 0, 0} end
redis.call('HSET', KEYS[6], name, ARGV[3])
if before == ARGV[3] then
  -- The same schedule again, perhaps at the start of an application: an earlier slot is due, and nobody has ticked yet.
  redis.call('ZADD', KEYS[7], 'LT', ARGV[4], name)
else
  redis.call('ZADD', KEYS[7], ARGV[4], name)
end
redis.call('ZADD', KEYS[7], 'GT', now, '')
for _, key in ipairs({KEYS[6], KEYS[7]}) do touch(key, ARGV[4] - now + KEEP) end
touch(Q, KEEP)
return {1, there, tonumber(redis.call('ZSCORE', KEYS[7], name))}
