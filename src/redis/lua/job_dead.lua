-- Replays or drops dead letters: a single one, or the oldest 100. Running it again with the same token and id returns
-- the same answer for a while.
-- ARGV: 2 id, or '' for the oldest, 3 token, 4 action (replay, drop), 5 only those that died up to this time (us),
--       or '' for now
-- Reply: how many were handled, how many of those up to that time are left, that time (us), 1 to wake somebody
local id, token = ARGV[2], ARGV[3]
-- The latest may have died while the clock was ahead of where it is now.
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
