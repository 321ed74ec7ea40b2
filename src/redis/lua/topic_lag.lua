-- Where a topic ends, and where its consumers stand.
-- KEYS: topic, its state
-- ARGV: consumers, 1 to 100
-- Reply: id of the last event there was or '', then of each consumer the id it stands behind, or '' if it is new
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local reply = {last and last[1] or redis.call('HGET', KEYS[2], 'last') or ''}
for i = 1, #ARGV do reply[i + 1] = redis.call('HGET', KEYS[2], 'at:' .. ARGV[i]) or '' end
return reply
