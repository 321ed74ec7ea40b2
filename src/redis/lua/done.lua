-- Ends a lead without storing anything.
-- KEYS: lead, marker that waiting is not worthwhile
-- ARGV: token, state: D or X, the rest of the ended lead, how long it is kept (ms), how long the marker is kept (ms)
--       or 0 for no marker
-- Reply: 1 ended, 0 the token does not lead
if ARGV[5] ~= '0' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[5]) end
local token, of = string.match(redis.call('GET', KEYS[1]) or '', '^[LP](%x+) (%x+)')
if token ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. token .. ' ' .. of .. ' 0 ' .. ARGV[3], 'PX', ARGV[4])
return 1
