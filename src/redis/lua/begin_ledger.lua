-- The purge ledger as it is now; begins one where there is none.
-- KEYS: ledger
-- ARGV: ledger to begin with, its time to live (ms)
-- Reply: ledger
local found = redis.call('GET', KEYS[1])
if found then
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return {found}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {ARGV[1]}
