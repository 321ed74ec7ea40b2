-- Removes a queue from a list, unless it has been noted again since.
-- KEYS: 1 names of queues (ZSET: when noted, ms); ARGV: 1 name, 2 when it was noted as far as the caller knows (ms)
-- Reply: 1 removed, 0 not
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not noted or tonumber(noted) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
