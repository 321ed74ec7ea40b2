-- Notes that a topic is about to hold events for its consumers, and drops topics that have not been noted for too long.
-- KEYS: names of topics (ZSET: when noted, ms)
-- ARGV: name, how long it is kept (ms)
-- Reply: 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
