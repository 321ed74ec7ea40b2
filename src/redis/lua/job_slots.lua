#!lua flags=no-writes
-- Returns schedules: those that are due or all of them, at most 100, or a single one. If a slot was stored at a time that
-- is yet to come, the clock was ahead: slots may be too late, and all schedules are returned instead of those that are due.
-- KEYS: 1 schedules, 2 their next slots; ARGV: 1 which: due, all, or '=' and a name
-- Reply: now (ms), how many schedules there are, then for each: next slot (ms), name, definition
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local out, found = {now, redis.call('HLEN', KEYS[1])}, {}
local one = string.match(ARGV[1], '^=(.+)$')
if one then
  found = {one, redis.call('ZSCORE', KEYS[2], one) or nil}
else
  local stored = tonumber(redis.call('ZSCORE', KEYS[2], '') or 0)
  local till = ARGV[1] == 'due' and stored <= now and now or '+inf'
  found = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', till, 'WITHSCORES', 'LIMIT', 0, 101)
end
for i = 1, #found - 1, 2 do
  local definition = redis.call('HGET', KEYS[1], found[i])
  if definition then
    out[#out + 1] = tonumber(found[i + 1])
    out[#out + 1] = found[i]
    out[#out + 1] = definition
  end
end
return out
