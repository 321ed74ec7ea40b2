-- Reads a session, extends it if that is due, and ends it if a superseded secret is used again.
-- KEYS: session, epoch of its user, index of its user
-- ARGV: hash of the secret, or '' from a caller that needs none; idle time (ms); the least gain for which the session
--       is extended (ms), or '' to neither extend it nor end it; name in the index; prefix of the keys of its earlier
--       copies
-- Reply: state (0 none, 1 current, 2 only to be read: an earlier copy, or a session that has ended, 3 ended now,
--        because of a superseded secret), version, now (ms), time to live (ms), end (ms), beginning (ms), user, data
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function read(key)
  local all, fields = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do fields[all[i]] = all[i + 1] end
  return fields
end
local function reply(state, of, ttl)
  local members = {}
  for name, value in pairs(of) do
    if string.sub(name, 1, 1) == '"' then members[#members + 1] = name .. ':' .. value end
  end
  local data = '{' .. table.concat(members, ',') .. '}'
  return {state, tonumber(of.v or 0), now, ttl, tonumber(of.x or 0), tonumber(of.c or 0), of.u or '', data}
end
local function ended(state)
  redis.call('UNLINK', KEYS[1])
  redis.call('ZREM', KEYS[3], ARGV[4])
  return reply(state, {}, 0)
end
local session = read(KEYS[1])
if not session.v then return reply(0, {}, 0) end
if tonumber(session.x) <= now then return ended(0) end
if session.u ~= '' and session.e ~= redis.call('GET', KEYS[2]) then return ended(0) end
local ttl = redis.call('PTTL', KEYS[1])
if ARGV[1] ~= '' and session.h ~= ARGV[1] then
  -- A session without a secret cannot be opened with one. Any other secret must have been this session's once, or its
  -- token would not be signed.
  if session.h == '' then return reply(0, {}, 0) end
  local till = string.match(session.p, ARGV[1] .. '=(%d+)')
  if not till or tonumber(till) <= now then
    if ARGV[3] == '' then return reply(0, {}, 0) end
    return ended(3)
  end
  local past = read(ARGV[5] .. ARGV[1])
  if not past.v then return reply(0, {}, 0) end
  return reply(2, past, math.min(till - now, ttl))
end
if session.m then return reply(2, session, ttl) end
local want = math.min(tonumber(session.i or ARGV[2]), session.x - now)
-- With a short idle time of its own, the session could never gain as much as is required of the others.
local worth = tonumber(ARGV[3])
if worth and session.i then worth = math.min(worth, session.i / 10) end
if worth and want - ttl >= worth then
  redis.call('PEXPIRE', KEYS[1], want)
  ttl = want
end
return reply(1, session, ttl)
