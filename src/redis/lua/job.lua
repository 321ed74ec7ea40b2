-- Put in front of every script of the job queue that writes.
-- KEYS: 1 queue (HASH: last position assigned, counters, pause, hold), 2 ready (ZSET: priority * 2^40 + position),
--       3 delayed (ZSET: when due, ms), 4 leases (ZSET: when the lease ends, ms; every job in flight),
--       5 dead (ZSET: when the job died, us); those of each script; the last one never exists (see script.rs)
-- ARGV: 1 prefix of the keys of jobs, with the same hash tag
-- A job is a HASH: b data, p priority, a attempts, m maximum attempts, t when enqueued (ms), w when last made
-- ready (ms), s position, k token of its lease, e last error; o token of the last call that ended a lease, or removed,
-- dropped or replayed the job, and f what that call did; z how the job ended.
local Q, R, D, L, X, JOB = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[1]
local KEEP, REMEMBER, MOST_DEAD = 2592000000, 300000, 10000 -- 30 days and 5 minutes, in ms
-- What ends later than the longest lease (12 hours) or the longest hold (a day) was stored while the clock was ahead. One
-- minute more, so that a small correction of the clock changes nothing.
local LONGEST_LEASE, LONGEST_HOLD = 43260000, 86460000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Makes sure that a key lives for `ttl` from now, or up to an hour less.
local function touch(key, ttl)
  if redis.call('PTTL', key) < ttl - 3600000 then redis.call('PEXPIRE', key, string.format('%.0f', ttl)) end
end

local function count(what)
  if redis.call('HINCRBY', Q, what, 1) == 1 then touch(Q, KEEP) end
end

-- Returns until when nothing is pushed (ms), or 0.
local function held()
  local hold = tonumber(redis.call('HGET', Q, 'hold') or 0)
  return hold > now and hold <= now + LONGEST_HOLD and hold or 0
end

-- Makes a job ready: last in its priority, or in the position it had before.
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

-- Makes the delayed jobs that are due ready, before any job that comes later.
local function promote()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', D, '-inf', now, 'LIMIT', 0, 100)) do
    line_up(id)
    redis.call('ZREM', D, id)
  end
end

local function delay(id, ms)
  redis.call('ZADD', D, now + ms, id)
  for _, key in ipairs({Q, D, JOB .. id}) do touch(key, ms + KEEP) end
end

-- Drops jobs whose data is lost from the head of those that are ready: otherwise they stay where nobody claims.
local function shed()
  for _, id in ipairs(redis.call('ZRANGE', R, 0, 1)) do
    if redis.call('EXISTS', JOB .. id) == 1 then return end
    redis.call('ZREM', R, id)
    count('lost')
  end
end

local function add(id, data, priority, ms, attempts)
  redis.call('HSET', JOB .. id, 'b', data, 'p', priority, 'a', 0, 'm', attempts, 't', now)
  count('enqueued')
  touch(Q, KEEP)
  shed()
  if ms > 0 then delay(id, ms) else line_up(id) end
end

-- Puts a job among the dead letters, and drops the oldest of these if there are too many.
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

-- Ends a job: all that is kept, for a while, is how it ended.
local function finish(id, how, token)
  redis.call('HDEL', JOB .. id, 'b', 'k', 'e')
  redis.call('HSET', JOB .. id, 'z', how, 'o', token, 'f', how .. ' 0')
  redis.call('PEXPIRE', JOB .. id, REMEMBER)
end

-- Whether to wake somebody to take jobs: some are ready, and either there were none before or nobody was woken lately.
local function ring(were_none)
  if redis.call('EXISTS', R) == 0 then return 0 end
  -- If the clock was ahead the last time, that time says nothing.
  if not were_none and math.abs(now - (redis.call('HGET', Q, 'rung') or 0)) < 1000 then return 0 end
  redis.call('HSET', Q, 'rung', now)
  touch(Q, KEEP)
  return 1
end
