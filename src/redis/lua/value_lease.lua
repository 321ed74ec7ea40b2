-- Takes the lease to fill a value, unless somebody else has it, or the value has been set in the meantime.
-- KEYS: value, lease
-- ARGV: lease to take, how long it lasts (ms), stamp of the value that was found and does not count, '' for none
-- Reply: 1 taken, 0 somebody else has it, 2 the value has changed; how much longer the other lease lasts (ms)
if redis.call('GETRANGE', KEYS[1], 9, 24) ~= ARGV[3] then return {2, 0} end
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[2])} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {1, 0}
