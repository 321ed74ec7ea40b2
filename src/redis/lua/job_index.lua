-- Notes that a queue exists, and drops queues that have not been noted for too long. A full list drops those that were
-- noted first, or takes no further one.
-- KEYS: 1 names of queues (ZSET: when noted, ms)
-- ARGV: 1 name, 2 how long it is kept (ms), 3 maximum number, 4 1 to drop none beyond it
-- Reply: 1 noted, 0 there are too many
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local is_full = redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3])
if ARGV[4] == '1' and is_full and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now, ARGV[1])
if ARGV[4] ~= '1' then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
