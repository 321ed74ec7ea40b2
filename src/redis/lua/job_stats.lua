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
local oldest = -1
-- Within a priority, the first one is the oldest. Those whose data is lost do not count.
local function look(from, most)
  for _ = 1, most do
    local head = redis.call('ZRANGEBYSCORE', KEYS[2], from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then return end
    local since = redis.call('HGET', ARGV[1] .. head[1], 'w')
    if since then oldest = math.max(oldest, now - since, 0) end
    local priority = math.floor(head[2] / 1099511627776)
    from = since and string.format('%.0f', (priority + 1) * 1099511627776) or '(' .. head[2]
  end
end
look('-inf', 500)
-- If there are so many, the least urgent ones wait longest.
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
if last then look(string.format('%.0f', math.floor(last / 1099511627776) * 1099511627776), 100) end
out[5] = oldest
local hold = (redis.call('HGET', KEYS[1], 'hold') or 0) - now
-- A longer one than a day was stored while the clock was ahead, and does not count: see job.lua.
out[6] = hold <= 86460000 and math.max(0, hold) or 0
for _, name in ipairs({'enqueued', 'completed', 'retried', 'released', 'expired', 'died', 'replayed', 'dropped', 'removed', 'lost'}) do
  out[#out + 1] = tonumber(redis.call('HGET', KEYS[1], name) or 0)
end
out[#out + 1] = redis.call('HGET', KEYS[1], 'paused') or ''
return out
