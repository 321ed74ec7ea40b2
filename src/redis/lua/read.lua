-- Reads a topic from a position on, and says where the topic ends.
-- KEYS: topic, its state
-- ARGV: smallest id to return, as XRANGE takes it, maximum number of events
-- Reply: now (ms), id of the last event, kept or not, or '' if none is known, then for each event: id, 'p', the id
--        before it, 't', type, 'd', data
local time = redis.call('TIME')
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
last = last and last[1] or redis.call('HGET', KEYS[2], 'last') or ''
local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])
return {time[1] * 1000 + math.floor(time[2] / 1000), last, found}
