-- Gives the lease to fill a value back.
-- KEYS: lease
-- ARGV: the lease
-- Reply: 1 given back, 0 it was gone
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return 1
