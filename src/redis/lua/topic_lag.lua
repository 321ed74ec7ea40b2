-- Returns where a topic ends, and how far its consumers are.
-- KEYS: topic, its state
-- ARGV: consumers, 1 to 100
-- Reply: id of the last event, kept or not, or '' if none is known; then for each consumer, the id of the last event
--        it has handled, or '' if it is new
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local reply = {last and last[1] or redis.call('HGET', KEYS[2], 'last') or ''}
for i = 1, #ARGV do reply[i + 1] = redis.call('HGET', KEYS[2], 'at:' .. ARGV[i]) or '' end
return reply
