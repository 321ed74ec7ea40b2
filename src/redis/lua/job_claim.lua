-- Takes jobs that are due, most urgent first. Running it again with the same token returns the same jobs.
-- KEYS: 6 the jobs that this token claimed
-- ARGV: 2 token, 3 lease (ms), or 0 to take the jobs for good, 4 maximum number of jobs, 5 maximum number of jobs in
--       flight, or 0 for no maximum, 6 bytes of data after which no more jobs are taken
-- Reply: ms until there may be jobs (0: ask again at once), -1 unknown; then for each job: attempt, maximum attempts,
--        when enqueued (ms), priority, end of the lease (ms), id, data
local token, lease = ARGV[2], tonumber(ARGV[3])
local out, bytes, ids = {0}, 0, {}
local function give(id)
  local v = redis.call('HMGET', JOB .. id, 'a', 'm', 't', 'p', 'b')
  for i = 1, 4 do out[#out + 1] = tonumber(v[i]) end
  out[#out + 1] = tonumber(redis.call('ZSCORE', L, id) or 0)
  out[#out + 1] = id
  out[#out + 1] = v[5]
  bytes = bytes + #v[5]
end
local before = redis.call('GET', KEYS[6])
if before then
  for id in string.gmatch(before, '%S+') do
    local mine = redis.call('HGET', JOB .. id, lease > 0 and 'k' or 'o') == token
    if mine and redis.call('HEXISTS', JOB .. id, 'b') == 1 then give(id) end
  end
  return out
end
promote()
local function take_back(from, to)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', L, from, to, 'LIMIT', 0, 100)) do
    redis.call('ZREM', L, id)
    count('expired')
    redis.call('HDEL', JOB .. id, 'k')
    local a, m = unpack(redis.call('HMGET', JOB .. id, 'a', 'm'))
    if m and tonumber(a) >= tonumber(m) then die(id, 'its lease expired') else line_up(id, true) end
  end
end
take_back('-inf', now)
take_back(now + LONGEST_LEASE, '+inf')
local paused, hold = redis.call('HGET', Q, 'paused'), held()
local room, most = tonumber(ARGV[4]), tonumber(ARGV[5])
if most > 0 then
  room = math.min(room, most - redis.call('ZCARD', L))
  if hold > 0 then room = 0 end
end
if paused then room = 0 end
for _ = 1, 100 do
  if #ids >= room or bytes >= tonumber(ARGV[6]) then break end
  local id = redis.call('ZPOPMIN', R)[1]
  if not id then break end
  if redis.call('HEXISTS', JOB .. id, 'b') == 0 then
    count('lost')
  else
    redis.call('HINCRBY', JOB .. id, 'a', 1)
    if lease > 0 then
      redis.call('HSET', JOB .. id, 'k', token)
      redis.call('ZADD', L, now + lease, id)
      touch(JOB .. id, KEEP)
    else
      redis.call('HSET', JOB .. id, 'z', 'done', 'o', token, 'f', 'done 0')
      redis.call('PEXPIRE', JOB .. id, 60000)
      count('completed')
    end
    ids[#ids + 1] = id
    give(id)
  end
end
if #ids > 0 then
  redis.call('SET', KEYS[6], table.concat(ids, ' '), 'PX', 60000)
  touch(Q, KEEP)
  if lease > 0 then touch(L, lease + KEEP) end
  return out
end
local next = 1 / 0
if not paused and redis.call('EXISTS', R) == 1 then
  -- With room left, only lost jobs were passed over so far, and there are more.
  if room > 0 then next = now elseif hold > 0 then next = hold end
end
for _, key in ipairs({D, L}) do
  next = math.min(next, tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or 1 / 0))
end
out[1] = next < 1 / 0 and math.max(0, next - now) or -1
return out
