-- Lists the sessions of a user, and removes from the index those that have ended.
-- KEYS: index, epoch
-- ARGV: prefix of the keys of the user's sessions
-- Reply: how many, now (ms), then text with a line for each: name, version, time to live (ms), end (ms), beginning (ms)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch, lines = redis.call('GET', KEYS[2]), {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, 99)) do
  local key = ARGV[1] .. name
  local version, ends, begun, of = unpack(redis.call('HMGET', key, 'v', 'x', 'c', 'e'))
  if version and of == epoch and tonumber(ends) > now then
    local ttl = string.format('%.0f', redis.call('PTTL', key))
    lines[#lines + 1] = table.concat({name, version, ttl, ends, begun}, ' ')
  else
    redis.call('ZREM', KEYS[1], name)
  end
end
return {#lines, now, table.concat(lines, '\n')}
