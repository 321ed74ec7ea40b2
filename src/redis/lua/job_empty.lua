-- Removes delayed or ready jobs, those that are due first. Running it again removes further ones.
-- ARGV: 2 token, 3 which (delayed, ready), 4 how many at most, no more than 100
-- Reply: how many were taken out, how many of these still had their data and were removed, how many are left
local of, removed = ARGV[3] == 'ready' and R or D, 0
local taken = redis.call('ZPOPMIN', of, ARGV[4])
for i = 1, #taken, 2 do
  if redis.call('EXISTS', JOB .. taken[i]) == 0 then
    count('lost')
  else
    removed = removed + 1
    finish(taken[i], 'removed', ARGV[2])
    count('removed')
  end
end
return {#taken / 2, removed, redis.call('ZCARD', of)}
