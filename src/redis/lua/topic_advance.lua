-- Moves a consumer on, unless another one did so first.
-- KEYS: topic's state
-- ARGV: consumer, id it stood behind, id it stands behind now
-- Reply: 1 done, 0 not
if redis.call('HGET', KEYS[1], 'at:' .. ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'at:' .. ARGV[1], ARGV[3])
return 1
