-- Removes delayed or ready jobs, those that are due first. Running it again removes further ones.
-- ARGV: 2 token, 3 which (delayed, ready), 4 how many at most, no more than 100
-- Reply: how many were taken out, how many of these still had their data and were removed, how many are left
local of, removed = ARGV[3] == 'ready' and R or D, 0
local first = redis.call('ZRANGE', of, 0, ARGV[4] - 1)
for _, id in ipairs(first) do
  redis.call('ZREM', of, id)
  if redis.call('EXISTS', JOB .. id) == 1 then
    removed = removed + 1
    finish(id, 'removed', ARGV[2])
    count('removed')
  else
    count('lost')
  end
end
return {#first, removed, redis.call('ZCARD', of)}
