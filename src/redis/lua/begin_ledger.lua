-- The purge ledger as it is now; begins one where there is none. Three quarters of its time are left at least.
-- KEYS: ledger, its entries
-- ARGV: ledger to begin with, its time to live (ms)
-- Reply: ledger
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {ARGV[1]}
end
-- Seldom, since each write goes to the replicas too.
if redis.call('PTTL', KEYS[1]) < ARGV[2] * 3 / 4 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return {found}
