-- Units that each end at a time of their own: in the exact log one period after they were taken, leases when they run
-- out.
-- State: a sorted set of units, "<name>:<number>", scored by when they end (us). A unit that ends later than is
-- possible was taken while the clock was ahead, and does not count.
local function score(us)
  return string.format('%.0f', us)
end
local function trim(p)
  redis.call('ZREMRANGEBYSCORE', p.key, '-inf', score(p.now))
  redis.call('ZREMRANGEBYSCORE', p.key, '(' .. score(p.last), '+inf')
  p.dead = 0
end

algorithms.lease = {
  read = function(p)
    p.last = p.now + p.period
    p.dead = redis.call('ZCOUNT', p.key, '-inf', score(p.now))
    p.used = redis.call('ZCOUNT', p.key, '(' .. score(p.now), score(p.last))
    local held = tonumber(redis.call('ZSCORE', p.key, p.name .. ':1') or 0)
    p.held = held > p.now and held <= p.last
  end,
  wait = function(p, cost)
    local over = p.used + cost - p.limit
    if over <= 0 then return 0 end
    local rank = p.dead + over - 1
    return redis.call('ZRANGE', p.key, rank, rank, 'WITHSCORES')[2] - p.now
  end,
  left = function(p)
    return math.max(0, p.limit - p.used)
  end,
  take = function(p, cost)
    trim(p)
    for number = 1, cost do
      p.used = p.used + redis.call('ZADD', p.key, score(p.last), p.name .. ':' .. number)
    end
    redis.call('PEXPIRE', p.key, score(math.ceil(p.period / 1000) + GRACE))
  end,
  give = function(p)
    trim(p)
    p.used = p.used - redis.call('ZREM', p.key, p.name .. ':1')
  end,
  save = function() end,
}

algorithms.log = {
  read = algorithms.lease.read,
  wait = algorithms.lease.wait,
  left = algorithms.lease.left,
  take = algorithms.lease.take,
  give = function(p, cost)
    trim(p)
    -- First the request's own units: after giving back another's, one that ends earlier would remain. Then the latest.
    local gone = 0
    for number = 1, cost do gone = gone + redis.call('ZREM', p.key, p.name .. ':' .. number) end
    if gone < cost then gone = gone + #redis.call('ZPOPMAX', p.key, cost - gone) / 2 end
    p.used = p.used - gone
  end,
  save = function() end,
}
