#!lua flags=allow-oom
-- Renews a lease that has not ended. One that has ended is not acquired again.
-- KEYS: holders, the last fence
-- ARGV: owner, how long the lease lasts from now (ms), how long the last fence is kept (ms)
-- Reply: 1 renewed, 0 no such lease; fence, now (ms), end of the lease (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends, fence = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+) (%d+)$')
if not ends or tonumber(ends) <= now then return {0, 0, now, 0} end
ends = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', ends) .. fence)
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {1, tonumber(fence), now, ends}
