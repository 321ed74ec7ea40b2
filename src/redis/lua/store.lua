-- Stores a response, unless its resource was purged since the fetch began.
-- KEYS: resource
-- ARGV: generation the fetch began with, fields varied on, field of the entry, entry, time to live (ms),
--       most variants of a resource
-- Reply: 1 stored, 0 refused
if redis.call('HGET', KEYS[1], 'g') ~= ARGV[1] then return 0 end
local vary = redis.call('HGET', KEYS[1], 'v')
if vary and vary ~= ARGV[2] then
  -- What was stored under other selecting fields can no longer be found.
  local soft = redis.call('HGET', KEYS[1], 's')
  redis.call('UNLINK', KEYS[1])
  redis.call('HSET', KEYS[1], 'g', ARGV[1], 's', soft or 0)
end
if redis.call('HEXISTS', KEYS[1], ARGV[3]) == 0 then
  local stored = {}
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 1) == 'e' then stored[#stored + 1] = field end
  end
  if #stored >= tonumber(ARGV[6]) then redis.call('HDEL', KEYS[1], stored[math.random(#stored)]) end
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], ARGV[3], ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return 1
