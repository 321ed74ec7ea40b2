-- Accepts a fence unless the resource has seen a greater one.
-- KEYS: the greatest fence the resource has seen
-- ARGV: fence, how long the greatest fence is remembered (ms)
-- Reply: 1 accepted, 0 refused; the greatest fence
local greatest = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) < greatest then return {0, greatest} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, tonumber(ARGV[1])}
