-- Adds to counters.
-- KEYS: counters
-- ARGV: their time to live (ms), then pairs of a name and what to add
-- Reply: 1
for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
