-- Begins a fetch: the generation it belongs to, and the purge ledger as it is now.
-- KEYS: generation, ledger
-- ARGV: generation to begin with, how long a fetch may take (ms), ledger to begin with, its time to live (ms)
-- Reply: generation, ledger
local function get_or_set(key, value, ttl)
  local found = redis.call('GET', key)
  if not found then
    redis.call('SET', key, value, 'PX', ttl)
    return value
  end
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
  return found
end
return {get_or_set(KEYS[1], ARGV[1], ARGV[2]), get_or_set(KEYS[2], ARGV[3], ARGV[4])}
