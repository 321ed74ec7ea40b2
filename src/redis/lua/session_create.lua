-- Creates a session. If one exists under the same key, which is possible only with an id that the caller chose, it is
-- replaced, provided that is allowed.
-- KEYS: session, epoch of its user, index of its user
-- ARGV: name of this write, hash of the secret ('' for none), idle time (ms), 1 if that is this session's own, longest
--       life (ms), version that must exist (-1 no session, -2 any or none), user or '', epoch to create, name in the
--       index, maximum number of sessions of a user, prefix of the keys of the user's sessions; then names and values
-- Reply: state (0 one exists, 1 created, 2 replaced, -1 a different version), version, now (ms), time to live (ms),
--        end (ms), beginning (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, life, expected = tonumber(ARGV[3]), tonumber(ARGV[5]), tonumber(ARGV[6])
local version, write, ends, begun = unpack(redis.call('HMGET', KEYS[1], 'v', 'w', 'x', 'c'))
if version and tonumber(ends) <= now then version = false end
local function reply(state)
  local ttl = redis.call('PTTL', KEYS[1])
  return {state, tonumber(version or 0), now, ttl, tonumber(ends or 0), tonumber(begun or 0)}
end
if version and write == ARGV[1] then return reply(1) end
if version and expected == -1 then return reply(0) end
if expected >= 0 and tonumber(version or -1) ~= expected then return reply(-1) end
local epoch = ''
if ARGV[7] ~= '' then
  -- A lost epoch ends all sessions of its user, because the next one is different: better that than to revive any.
  epoch = redis.call('GET', KEYS[2])
  if not epoch then
    epoch = ARGV[8]
    redis.call('SET', KEYS[2], epoch, 'PX', life)
  elseif redis.call('PTTL', KEYS[2]) < life then
    redis.call('PEXPIRE', KEYS[2], life)
  end
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  local over = redis.call('ZCARD', KEYS[3]) - ARGV[10]
  if over >= 0 then
    -- Those that expired because they were not used are still listed, but do not count.
    for _, name in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
      if redis.call('EXISTS', ARGV[11] .. name) == 0 then over = over - redis.call('ZREM', KEYS[3], name) end
    end
  end
  if over >= 0 then
    for _, name in ipairs(redis.call('ZRANGE', KEYS[3], 0, over)) do
      redis.call('UNLINK', ARGV[11] .. name)
      redis.call('ZREM', KEYS[3], name)
    end
  end
  redis.call('ZADD', KEYS[3], now + life, ARGV[9])
  if redis.call('PTTL', KEYS[3]) < life then redis.call('PEXPIRE', KEYS[3], life) end
end
local state = version and 2 or 1
-- Under a chosen id, versions keep growing even after a session has ended: they start with the time in microseconds.
version = math.max(ARGV[2] == '' and time[1] * 1000000 + time[2] or 1, tonumber(version or 0) + 1)
ends, begun = now + life, now
redis.call('UNLINK', KEYS[1])
local number = function(value) return string.format('%.0f', value) end
redis.call('HSET', KEYS[1], 'v', number(version), 'w', ARGV[1], 'h', ARGV[2], 'p', '', 'x', number(ends), 'c',
  number(begun), 'u', ARGV[7], 'e', epoch)
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'i', ARGV[3]) end
for i = 12, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], math.min(idle, life))
return reply(state)
