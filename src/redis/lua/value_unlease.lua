-- Gives up the lease to fill a value.
-- KEYS: lease
-- ARGV: the lease
-- Reply: 1 given up, 0 it was already gone
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
