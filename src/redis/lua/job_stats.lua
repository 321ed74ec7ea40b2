#!lua flags=no-writes
-- Returns the state of a queue.
-- KEYS: 1 queue, 2 ready, 3 delayed, 4 leases, 5 dead; ARGV: 1 prefix of the keys of jobs
-- Reply: how many jobs are ready, delayed, in flight, dead; how long the oldest ready one has been ready (ms, -1 none);
--        for how long nothing is pushed (ms); how many jobs were enqueued, completed, retried, released, expired, died,
--        replayed, dropped, removed, lost; why it is paused, or ''
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {}
for i = 2, 5 do out[i - 1] = redis.call('ZCARD', KEYS[i]) end
-- Within a priority, the first one is the oldest.
local oldest, from = -1, '-inf'
for _ = 1, 100 do
  local head = redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not head[1] then break end
  oldest = math.max(oldest, now - (redis.call('HGET', ARGV[1] .. head[1], 'w') or now))
  from = string.format('%.0f', (math.floor(head[2] / 1099511627776) + 1) * 1099511627776)
end
out[5] = oldest
out[6] = math.max(0, (redis.call('HGET', KEYS[1], 'hold') or 0) - now)
for _, name in ipairs({'enqueued', 'completed', 'retried', 'released', 'expired', 'died', 'replayed', 'dropped', 'removed', 'lost'}) do
  out[#out + 1] = tonumber(redis.call('HGET', KEYS[1], name) or 0)
end
out[#out + 1] = redis.call('HGET', KEYS[1], 'paused') or ''
return out
