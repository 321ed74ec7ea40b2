-- Appends events to a topic, once, trims the topic, and notifies subscribers.
-- Each event names the one before it, so that readers can tell whether they missed any.
-- KEYS: topic, its state, marker of this request
-- ARGV: maximum number of events, how long one is kept (ms), time to live of the marker (ms), hash of the request,
--       consumers (separated by spaces), channel to wake the subscriber on or '', message for it, channel of the topic
--       or '', then type and data of each event, 1 to 100 of them
-- Reply: 1 done, 0 the request was carried out before, -1 the marker belongs to a different request; ids (separated by
--        spaces)
local said, ids = string.match(redis.call('GET', KEYS[3]) or '', '^(%x+) (.+)$')
if said == ARGV[4] then return {0, ids} end
if said then return {-1, ''} end
-- The state outlives the events, so that the first event after a pause can name the last one before it.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local previous = last and last[1] or redis.call('HGET', KEYS[2], 'last') or ''
-- A consumer that is new to the topic starts with these events.
for consumer in string.gmatch(ARGV[5], '%S+') do
  redis.call('HSETNX', KEYS[2], 'at:' .. consumer, previous == '' and '0-0' or previous)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, made = '*', {}
-- A stream that is created again continues with greater ids, even if the clock was set back.
if not last and previous ~= '' then
  id = string.format('%.0f-0', math.max(now, string.match(previous, '^%d+') + 1))
end
for i = 9, #ARGV, 2 do
  previous = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], id, 'p', previous, 't', ARGV[i], 'd', ARGV[i + 1])
  id, made[#made + 1] = '*', previous
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(now - ARGV[2], 0)))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], 'last', previous)
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', ARGV[2] * 2))
ids = table.concat(made, ' ')
redis.call('SET', KEYS[3], ARGV[4] .. ' ' .. ids, 'PX', ARGV[3])
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
if ARGV[8] ~= '' then
  for i = 10, #ARGV, 2 do redis.call('PUBLISH', ARGV[8], ARGV[i]) end
end
return {1, ids}
