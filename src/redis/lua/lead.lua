-- Begins a fetch: the first to ask leads, and the others may wait for its response.
-- KEYS: generation, lead, marker that waiting is not worthwhile
-- ARGV: generation to create, how long it lasts (ms), token, time after which a lead that is not renewed ends (ms),
--       how long it may go without progress (ms), token of an ended lead after which the caller has looked again, or ''
-- Reply: 0 somebody else leads, 1 the caller leads, 2 somebody has just finished: look again, 3 waiting is not
--        worthwhile; generation; token of the lead, or ''
-- A lead holds its state, token, generation, when it last made progress (ms), and depending on the state:
-- "L" begun, "P" body under way: fields varied on and entry, "D" done: pieces and length, "X" failed: how.
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
  -- The caller leads already: the reply to its first call was lost.
  if token == ARGV[3] then return {1, generation, token} end
  if over and token ~= ARGV[6] then return {2, generation, token} end
  if not over and now - since < tonumber(ARGV[5]) then return {0, generation, token} end
end
local lead = 'L' .. ARGV[3] .. ' ' .. generation .. ' ' .. string.format('%013.0f', now)
redis.call('SET', KEYS[2], lead, 'PX', ARGV[4])
return {1, generation, ARGV[3]}
