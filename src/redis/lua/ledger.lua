#!lua flags=allow-oom
-- Writes purges into the ledger. The newest purge of a target replaces earlier ones of the same target.
-- KEYS: ledger, its entries
-- ARGV: ledger to create if there is none, time to live (ms), maximum number of entries, then the targets
-- Reply: ledger, the number of its last purge before these
-- A lost ledger proves nothing: what was stored under it is recognised by its identity.
local id, seq, floor = string.match(redis.call('GET', KEYS[1]) or ARGV[1], '^(%x+):(%d+):(%d+)$')
-- A ledger that is created here, or was by a fetch, has no entries yet: any that exist belong to the lost one.
if seq == '0' then redis.call('UNLINK', KEYS[2]) end
-- Lost entries prove nothing either.
if redis.call('EXISTS', KEYS[2]) == 0 then floor = seq end
-- Numbers must go beyond any that were lost with a server because the replica that took over had not received them:
-- entries were stored under those, and instances have read up to them.
local before, time = seq, redis.call('TIME')
seq = math.max(tonumber(seq), time[1] * 1000000 + time[2])
for i = 4, #ARGV do
  seq = string.format('%.0f', seq + 1)
  redis.call('ZADD', KEYS[2], seq, ARGV[i])
end
local over = redis.call('ZCARD', KEYS[2]) - ARGV[3]
if over > 0 then
  local dropped = redis.call('ZPOPMIN', KEYS[2], over)
  floor = string.format('%.0f', dropped[#dropped])
end
local head = id .. ':' .. seq .. ':' .. floor
redis.call('SET', KEYS[1], head, 'PX', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return {head, before}
