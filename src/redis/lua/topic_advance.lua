-- Moves the position of a consumer forward, unless somebody else did so first.
-- KEYS: state of the topic
-- ARGV: consumer, its previous position, its new position: the id of the last event it has handled
-- Reply: 1 done, 0 not
if redis.call('HGET', KEYS[1], 'at:' .. ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'at:' .. ARGV[1], ARGV[3])
return 1
