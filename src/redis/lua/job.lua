-- Stands in front of every script of the job queue that writes.
-- KEYS: 1 queue (HASH: last place in line, counters, pause, hold), 2 ready (ZSET: priority * 2^40 + place in line),
--       3 delayed (ZSET: due, ms), 4 leases (ZSET: end, ms: all that is in flight), 5 dead (ZSET: end, us)
-- ARGV: 1 what the keys of jobs begin with, with the same hash tag
-- A job is a HASH: b data, p priority, a attempts, m most attempts, t enqueued (ms), w in line since (ms),
-- s place in line, k token of its lease, e last error; o, f the last ended lease and how it ended, z how the job ended.
local Q, R, D, L, X, JOB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[1]
local KEEP, REMEMBER, MOST_DEAD = 2592000000, 300000, 10000 -- 30 days and 5 minutes, in ms
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A key lives at least so long from now, to the hour.
local function touch(key, ttl)
  if redis.call('PTTL', key) < ttl - 3600000 then redis.call('PEXPIRE', key, string.format('%.0f', ttl)) end
end

local function count(what)
  if redis.call('HINCRBY', Q, what, 1) == 1 then touch(Q, KEEP) end
end

-- Into the line of its priority: at the end, or at the place it had.
local function line_up(id, back)
  local priority, place = unpack(redis.call('HMGET', JOB .. id, 'p', 's'))
  if not priority then return count('lost') end
  if not (back and place) then
    place = redis.call('HINCRBY', Q, 'seq', 1)
    redis.call('HSET', JOB .. id, 's', place, 'w', now)
  end
  redis.call('ZADD', R, priority * 1099511627776 + place, id)
  touch(R, KEEP)
  touch(JOB .. id, KEEP)
end

-- What is due gets its place, before what comes after.
local function promote()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', D, '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', D, id)
    line_up(id)
  end
end

local function delay(id, ms)
  redis.call('ZADD', D, now + ms, id)
  for _, key in ipairs({Q, D, JOB .. id}) do touch(key, ms + KEEP) end
end

local function add(id, data, priority, ms, attempts)
  redis.call('HSET', JOB .. id, 'b', data, 'p', priority, 'a', 0, 'm', attempts, 't', now)
  count('enqueued')
  touch(Q, KEEP)
  if ms > 0 then delay(id, ms) else line_up(id) end
end

-- Among the dead letters, of which the oldest go when there are too many.
local function die(id, why)
  local last = redis.call('ZREVRANGE', X, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', X, math.max(now * 1000, (last or 0) + 1), id)
  redis.call('HSET', JOB .. id, 'e', why)
  redis.call('HDEL', JOB .. id, 'k')
  redis.call('PEXPIRE', JOB .. id, KEEP)
  touch(X, KEEP)
  count('died')
  redis.call('ZREMRANGEBYSCORE', X, '-inf', string.format('%.0f', (now - KEEP) * 1000))
  for _ = 1, 2 do
    if redis.call('ZCARD', X) <= MOST_DEAD then return end
    redis.call('UNLINK', JOB .. redis.call('ZPOPMIN', X)[1])
  end
end

-- Nothing is left of a job but how it ended, for a while.
local function finish(id, how, token)
  redis.call('HDEL', JOB .. id, 'b', 'k', 'e')
  redis.call('HSET', JOB .. id, 'z', how, 'o', token, 'f', how .. ' 0')
  redis.call('PEXPIRE', JOB .. id, REMEMBER)
end

-- Somebody should come and take jobs: they were all taken before, or it is a while ago that we said so.
local function ring(were_none)
  if redis.call('EXISTS', R) == 0 then return 0 end
  -- Where the clock was ahead, it is not known when.
  if not were_none and math.abs(now - (redis.call('HGET', Q, 'rung') or 0)) < 1000 then return 0 end
  redis.call('HSET', Q, 'rung', now)
  touch(Q, KEEP)
  return 1
end
