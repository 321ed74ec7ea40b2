-- Releases a lease.
-- KEYS: holders
-- ARGV: owner
-- Reply: 1 released, 0 nobody held one, -1 others do
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, own, others = redis.call('HGETALL', KEYS[1]), false, false
for i = 1, #held, 2 do
  local ends = string.match(held[i + 1], '^(%d+) ')
  if ends and tonumber(ends) > now then
    if held[i] == ARGV[1] then own = true else others = true end
  end
end
if others then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('UNLINK', KEYS[1]) end
if own then return 1 end
return others and -1 or 0
