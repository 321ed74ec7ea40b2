-- Makes everything stored for a resource stale, and everything still being fetched for it.
-- KEYS: resource
-- Reply: 1 there was something, 0 nothing
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 's', 1)
return 1
