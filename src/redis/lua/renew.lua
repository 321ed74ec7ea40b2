-- Renews the lead of a fetch.
-- KEYS: lead, generation
-- ARGV: token, how long a lead lasts (ms), how long its generation lasts (ms), 1 if the fetch made progress, the fields
--       and entry to publish for a body under way, or ''
-- Reply: 1 still leads, 0 does not
local token, of = string.match(redis.call('GET', KEYS[1]) or '', '^[LP](%x+) (%x+)')
if token ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[2]) == of then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
if ARGV[4] == '1' then
  local time = redis.call('TIME')
  local now = string.format('%013.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  if ARGV[5] ~= '' then
    redis.call('SET', KEYS[1], 'P' .. token .. ' ' .. of .. ' ' .. now .. ' ' .. ARGV[5])
  else
    redis.call('SETRANGE', KEYS[1], #token + #of + 3, now)
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
