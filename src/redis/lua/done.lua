-- Ends a lead without anything stored.
-- KEYS: lead, marker of what is not worth waiting for
-- ARGV: token, state: D or X, what else is said of it, how long that stays (ms), how long the marker stays (ms) or 0
-- Reply: 1 ended, 0 did not lead
if ARGV[5] ~= '0' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[5]) end
local token, of = string.match(redis.call('GET', KEYS[1]) or '', '^[LP](%x+) (%x+)')
if token ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. token .. ' ' .. of .. ' 0 ' .. ARGV[3], 'PX', ARGV[4])
return 1
