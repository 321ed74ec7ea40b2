-- Notes that a queue exists, and drops queues that have not been noted for too long, and the oldest beyond 10,000.
-- KEYS: 1 names of queues (ZSET: when noted, ms); ARGV: 1 name, 2 how long it is kept (ms)
-- Reply: 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -10001)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
