#!lua flags=no-writes
-- Lists dead letters, oldest first.
-- KEYS: 1 dead
-- ARGV: 1 prefix of the keys of jobs, 2 only those that died after this time (us), or '-inf', 3 how many, at most 100
-- Reply: the time (us) after which the next page begins, or -1 if this is the last; then for each: when it died (us),
--        attempts, maximum attempts, when enqueued (ms), priority, id, error, data
local out, from = {-1}, ARGV[2] == '-inf' and '-inf' or '(' .. ARGV[2]
local found = redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
-- Those whose data is gone are left out, so a page may have fewer than were asked for.
if #found == 2 * ARGV[3] then out[1] = tonumber(found[#found]) end
for i = 1, #found, 2 do
  local v = redis.call('HMGET', ARGV[1] .. found[i], 'a', 'm', 't', 'p', 'e', 'b')
  if v[2] then
    for _, one in ipairs({tonumber(found[i + 1]), tonumber(v[1]), tonumber(v[2]), tonumber(v[3]), tonumber(v[4]),
      found[i], v[5] or '', v[6] or ''}) do out[#out + 1] = one end
  end
end
return out
