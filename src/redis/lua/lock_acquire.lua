-- Acquires a lease on a lock, unless all permits are held. A holder who asks again keeps its fence.
-- KEYS: holders, the last fence
-- ARGV: owner, how long the lease lasts (ms), number of permits, how long the last fence is kept (ms)
-- Reply: 1 granted, 0 all permits are held, -1 held with a different number of permits;
--        fence, now (ms), the end of this lease, or of the first one to end (ms), number of permits in force
-- The first key is a hash: owner -> "end fence", and '' -> the number of permits while anybody holds one.
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local permits = tonumber(ARGV[3])
local held, gone, holders = redis.call('HGETALL', KEYS[1]), {}, 0
local in_force, own, first, last = permits, nil, 0, tonumber(redis.call('GET', KEYS[2]) or '0')
for i = 1, #held, 2 do
  local ends, fence = string.match(held[i + 1], '^(%d+) (%d+)$')
  if not ends then
    in_force = tonumber(held[i + 1])
  elseif tonumber(ends) <= now then
    gone[#gone + 1] = held[i]
  else
    holders = holders + 1
    if first == 0 or tonumber(ends) < first then first = tonumber(ends) end
    if held[i] == ARGV[1] then own = tonumber(fence) end
  end
  last = math.max(last, tonumber(fence or '0'))
end
if holders > 0 and in_force ~= permits then return {-1, 0, now, first, in_force} end
if not own and holders >= permits then return {0, 0, now, first, permits} end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
-- Greater than the last fence, and no less than the time, in case the last one was lost: fences only grow.
local fence = own or math.max(last + 1, micros)
local ends = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], '', permits, ARGV[1], string.format('%.0f %.0f', ends, fence))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[2], string.format('%.0f', math.max(last, fence)), 'PX', ARGV[4])
return {1, fence, now, ends, permits}
