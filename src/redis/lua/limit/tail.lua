local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local act, policies, room = ARGV[1], {}, true

for i = 1, #KEYS, 2 do
  local at = 3 * i
  local p = {
    key = KEYS[i], block = KEYS[i + 1], now = now, name = ARGV[2], algorithm = algorithms[ARGV[at]],
    limit = tonumber(ARGV[at + 1]), period = tonumber(ARGV[at + 2]), burst = tonumber(ARGV[at + 3]),
    cost = tonumber(ARGV[at + 4]), verdict = 0, wait = 0,
  }
  p.algorithm.read(p)
  p.blocked = redis.call('PTTL', p.block)
  if p.blocked > 0 then
    p.verdict, p.wait = 3, p.blocked * 1000
  elseif p.cost > p.burst then
    p.verdict = 2
  elseif not p.held then
    p.wait = p.algorithm.wait(p, p.cost)
    p.verdict = p.wait > 0 and 1 or 0
  end
  if p.verdict > 0 and ARGV[at + 5] ~= '1' then room = false end
  policies[#policies + 1] = p
end

local reply = {room and 1 or 0, now}
for _, p in ipairs(policies) do
  local units = 0
  if act == 'give' or act == 'take' and room and p.verdict == 0 then units = p.cost end
  if act == 'drain' then units = math.min(p.cost, p.algorithm.left(p)) end
  if units > 0 then
    local change = act == 'give' and p.algorithm.give or p.algorithm.take
    change(p, units)
  end
  if units > 0 or p.changed then p.algorithm.save(p) end
  -- A block without an end was not set by Spindrift.
  if p.blocked == -1 then redis.call('UNLINK', p.block) end
  local left = p.algorithm.left(p)
  local more = left < p.burst and p.algorithm.wait(p, left + 1) or 0
  local all = p.algorithm.wait(p, p.burst)
  -- Nothing is available before the block ends.
  if p.blocked > 0 then left, more, all = 0, math.max(more, p.wait), math.max(all, p.wait) end
  for _, number in ipairs({p.verdict, left, p.wait, more, all}) do
    reply[#reply + 1] = number
  end
end
return reply
