-- Notes that a topic is about to hold something for its consumers. Topics that nobody noted for so long go.
-- KEYS: names of topics (ZSET: when noted, ms)
-- ARGV: name, for how long (ms)
-- Reply: 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
