-- Shortens the life of keys.
-- KEYS: some
-- ARGV: how long they live yet, in milliseconds, where it is not less already
-- Reply: 1
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1], 'LT') end
return 1
