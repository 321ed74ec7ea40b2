-- Replays or drops dead letters: one, or of all the oldest 100. To run it again with the same token and id gives the
-- same answer for a while.
-- ARGV: 2 id, or '' for all, 3 token, 4 what (replay, drop), 5 only those that died until then (us), or '' for now
-- Reply: how many, how many are left of them, until when (us), 1 if somebody should come
local id, token = ARGV[2], ARGV[3]
-- The last may have died while the clock was ahead of what it is now.
local last = redis.call('ZREVRANGE', X, 0, 0, 'WITHSCORES')[2] or 0
local till = ARGV[5] ~= '' and ARGV[5] or string.format('%.0f', math.max(now * 1000 + 999, last))
local ids, done, were_none = {id}, 0, redis.call('EXISTS', R) == 0
promote()
if id == '' then ids = redis.call('ZRANGEBYSCORE', X, '-inf', till, 'LIMIT', 0, 100) end
for _, one in ipairs(ids) do
  if redis.call('HGET', JOB .. one, 'o') == token then
    done = done + 1
  elseif redis.call('ZREM', X, one) == 1 then
    if ARGV[4] == 'drop' then
      done = done + 1
      finish(one, 'dropped', token)
      count('dropped')
    elseif redis.call('EXISTS', JOB .. one) == 0 then
      count('lost')
    else
      done = done + 1
      redis.call('HSET', JOB .. one, 'a', 0, 'o', token, 'f', 'replay 0 ready')
      count('replayed')
      line_up(one)
    end
  end
end
return {done, redis.call('ZCOUNT', X, '-inf', till), tonumber(till), ring(were_none)}
