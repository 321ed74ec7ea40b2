-- Begins a fetch: whoever comes first leads, the others may wait for what it brings.
-- KEYS: generation, lead, marker of what is not worth waiting for
-- ARGV: generation to begin with, how long it lasts (ms), token, how long a lead lasts without a sign of life (ms),
--       how long it may go without progress (ms), token of a lead after whose end the caller has looked again, or ''
-- Reply: 0 somebody leads, 1 the caller leads, 2 somebody has just led: look again, 3 not worth waiting for;
--        generation; token of whoever leads or led, or ''
-- A lead is its state, its token, its generation, when it last made progress (ms), and more:
-- "L" begun, "P" body under way: fields varied on and entry, "D" done: pieces and length, "X" failed: status.
local generation = redis.call('GET', KEYS[1])
if generation then
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
else
  generation = ARGV[1]
  redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
end
if redis.call('EXISTS', KEYS[3]) == 1 then return {3, generation, ''} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state, token, of, since = string.match(redis.call('GET', KEYS[2]) or '', '^(%u)(%x+) (%x+) (%d+)')
if of == generation then
  local over = state == 'D' or state == 'X'
  if over and token ~= ARGV[6] then return {2, generation, token} end
  if not over and now - since < tonumber(ARGV[5]) then return {0, generation, token} end
end
local lead = 'L' .. ARGV[3] .. ' ' .. generation .. ' ' .. string.format('%013.0f', now)
redis.call('SET', KEYS[2], lead, 'PX', ARGV[4])
return {1, generation, ARGV[3]}
