-- Ends a session, either completely or so that it can be read for a while longer.
-- KEYS: session, index of its user
-- ARGV: how long it can still be read (ms, 0 for not at all), name in the index
-- Reply: 1 it existed, 0 it did not
local there = redis.call('EXISTS', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
if ARGV[1] == '0' then
  redis.call('UNLINK', KEYS[1])
elseif there == 1 and redis.call('HSETNX', KEYS[1], 'm', '1') == 1 then
  redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(ARGV[1]), redis.call('PTTL', KEYS[1]))))
end
return there
