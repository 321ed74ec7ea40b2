-- Drops a key, provided its value still begins as it did when it was read.
-- KEYS: key
-- ARGV: how the value began
-- Reply: 1 dropped, 0 the value has changed
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
