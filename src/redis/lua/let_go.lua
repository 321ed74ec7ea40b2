-- Shortens the life of keys.
-- KEYS: the keys
-- ARGV: how long they have left to live at most, in milliseconds
-- Reply: 1
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1], 'LT') end
return 1
