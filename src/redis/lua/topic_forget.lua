-- Takes a topic out of the list, unless it was noted a while ago only or again since: what it was noted for may
-- still be on its way.
-- KEYS: names of topics (ZSET: when noted, ms)
-- ARGV: name, when it was noted as far as we know, for how long it stays (ms)
-- Reply: 1 done, 0 not
local noted = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not noted or noted ~= tonumber(ARGV[2]) or now - noted < tonumber(ARGV[3]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
