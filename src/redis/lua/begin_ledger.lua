-- Returns the purge ledger, creating it if there is none, with at least three quarters of its time to live left.
-- KEYS: ledger, its entries
-- ARGV: ledger to create, its time to live (ms)
-- Reply: ledger
local found = redis.call('GET', KEYS[1])
if not found then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {ARGV[1]}
end
-- Renewed rarely, because each write also goes to the replicas.
if redis.call('PTTL', KEYS[1]) < ARGV[2] * 3 / 4 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return {found}
