-- Writes to an existing session; never creates one, so that no slow writer undoes a logout.
-- KEYS: session, epoch of its user
-- ARGV: name of this write, version that the session must have (-1 any), idle time (ms), 1 if that becomes this
--       session's own, 1 to replace all members, maximum bytes of data, maximum number of members, hash of the secret
--       that the session must have ('' any), hash of the next secret ('' to keep the current one), how long the current
--       one can then still read (ms), prefix of the keys of its earlier copies; then names and values of members, '' as
--       the value to remove one
-- Reply: state (0 no session, 1 done, -1 a different version, -2 too large, -3 a different secret), version, now (ms),
--        time to live (ms), end (ms), beginning (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, session = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do session[all[i]] = all[i + 1] end
local function reply(state)
  local ttl = redis.call('PTTL', KEYS[1])
  return {state, tonumber(session.v or 0), now, ttl, tonumber(session.x or 0), tonumber(session.c or 0)}
end
if not session.v or session.m or tonumber(session.x) <= now then return reply(0) end
if session.u ~= '' and session.e ~= redis.call('GET', KEYS[2]) then return reply(0) end
if session.w == ARGV[1] then return reply(1) end
-- The next secret is unique to its call: that was carried out before, and somebody else has written since. The caller
-- does not know of that write, so it is told the version of its own.
if ARGV[9] ~= '' and session.h == ARGV[9] then session.v = session.n or session.v; return reply(1) end
if ARGV[8] ~= '' and session.h ~= ARGV[8] then return reply(-3) end
if ARGV[2] ~= '-1' and session.v ~= ARGV[2] then return reply(-1) end
local members, gone, size, count = {}, {}, 1, 0
for i = 12, #ARGV, 2 do members[ARGV[i]] = ARGV[i + 1] end
for name, value in pairs(session) do
  if string.sub(name, 1, 1) == '"' and (members[name] or ARGV[5] == '1') then
    if (members[name] or '') == '' then gone[#gone + 1] = name end
  elseif string.sub(name, 1, 1) == '"' then
    size, count = size + #name + #value + 2, count + 1
  end
end
for name, value in pairs(members) do
  if value ~= '' then size, count = size + #name + #value + 2, count + 1 end
end
if size > tonumber(ARGV[6]) or count > tonumber(ARGV[7]) then return reply(-2) end
if ARGV[9] ~= '' then
  -- The previous secret reads the previous data, so that it reveals nothing of a login.
  local past = {}
  if session.h ~= '' and tonumber(ARGV[10]) > 0 then
    redis.call('HSET', ARGV[11] .. session.h, unpack(all))
    redis.call('PEXPIRE', ARGV[11] .. session.h, ARGV[10])
    past[1] = session.h .. '=' .. string.format('%.0f', now + ARGV[10])
  end
  for hash, till in string.gmatch(session.p, '(%x+)=(%d+)') do
    if tonumber(till) > now and #past < 8 then
      past[#past + 1] = hash .. '=' .. till
    else
      redis.call('UNLINK', ARGV[11] .. hash)
    end
  end
  redis.call('HSET', KEYS[1], 'h', ARGV[9], 'p', table.concat(past, ' '))
end
for _, name in ipairs(gone) do redis.call('HDEL', KEYS[1], name) end
for name, value in pairs(members) do
  if value ~= '' then redis.call('HSET', KEYS[1], name, value) end
end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[1], 'i', ARGV[3])
  session.i = ARGV[3]
end
-- A new secret alone changes no data, so whoever has read the data may still write.
if #ARGV > 11 or ARGV[5] == '1' then
  session.v = string.format('%.0f', session.v + 1)
end
redis.call('HSET', KEYS[1], 'v', session.v, 'w', ARGV[1])
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'n', session.v) end
redis.call('PEXPIRE', KEYS[1], math.max(1, math.min(tonumber(session.i or ARGV[3]), session.x - now)))
return reply(1)
