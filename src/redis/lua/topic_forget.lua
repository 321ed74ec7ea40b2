-- Removes a topic from the list, unless it was noted only recently, or again since: the event it was noted for may
-- still be on its way.
-- KEYS: names of topics (ZSET: when noted, ms)
-- ARGV: name, when it was noted as far as the caller knows (ms), how long it stays in the list at least (ms)
-- Reply: 1 removed, 0 not
local noted = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not noted or noted ~= tonumber(ARGV[2]) or now - noted < tonumber(ARGV[3]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
