-- Ends or extends the lease of a job. Ending it again with the same token returns the same answer for a while.
-- ARGV: 2 id, 3 token, 4 action (ack, retry, release, bury, extend), 5 ms to delay the job, or until the extended lease
--       ends, 6 why it failed, 7 ms for which nothing is pushed, 8 why the queue is paused, or ''
-- Reply: 1 done, 0 no such job, -1 the job was taken back or is somebody else's, -2 the lease was ended by a different
--        action; when the delay or the lease ends (ms), or 0; the state of the job now: done, ready, delayed, dead,
--        leased (with -2: the action that ended it)
local id, token, what, ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local k, o, f, a, m = unpack(redis.call('HMGET', JOB .. id, 'k', 'o', 'f', 'a', 'm'))
if not m then return {0, 0, ''} end
if k ~= token then
  if o ~= token then return {-1, 0, ''} end
  local did, at, state = string.match(f, '^(%a+) (%d+) ?(%a*)$')
  if state == '' then state = did; did = did == 'done' and 'ack' or did end
  if did ~= what then return {-2, 0, did} end
  return {1, tonumber(at), state}
end
if what == 'extend' then
  redis.call('ZADD', L, now + ms, id)
  touch(L, ms + KEEP)
  touch(JOB .. id, ms + KEEP)
  return {1, now + ms, 'leased'}
end
if what == 'retry' and ms == 0 then promote() end
redis.call('ZREM', L, id)
redis.call('HDEL', JOB .. id, 'k')
if tonumber(ARGV[7]) > 0 then
  -- If several deliveries ask for this, the longest counts.
  redis.call('HSET', Q, 'hold', math.max(now + ARGV[7], held()))
end
if ARGV[8] ~= '' then redis.call('HSET', Q, 'paused', ARGV[8]) end
touch(Q, KEEP)
if what == 'ack' then
  finish(id, 'done', token)
  count('completed')
  return {1, 0, 'done'}
end
local at, state = 0, 'ready'
if what == 'release' then
  redis.call('HINCRBY', JOB .. id, 'a', -1)
  count('released')
  line_up(id, true)
elseif what == 'retry' and tonumber(a) < tonumber(m) then
  redis.call('HSET', JOB .. id, 'e', ARGV[6])
  count('retried')
  if ms > 0 then at, state = now + ms, 'delayed'; delay(id, ms) else line_up(id) end
else
  state = 'dead'
  die(id, ARGV[6])
end
redis.call('HSET', JOB .. id, 'o', token, 'f', string.format('%s %.0f %s', what, at, state))
return {1, at, state}
