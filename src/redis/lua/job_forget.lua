-- Takes a queue out of a list, unless somebody noted it again since.
-- KEYS: 1 names of queues (ZSET: when noted, ms); ARGV: 1 name, 2 when it was noted as far as we know
-- Reply: 1 done, 0 not
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not noted or tonumber(noted) ~= tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
