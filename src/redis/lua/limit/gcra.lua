-- GCRA (ITU-T I.371): a meter that drains at a constant rate.
-- State: the theoretical arrival time (TAT) as "us:parts": whole microseconds, and a fraction of one in parts of
-- 1/limit, so that no time is ever rounded. Every number here is an integer below 2^53.
local function span(p, units)
  local parts = units * (p.period % p.limit)
  return units * math.floor(p.period / p.limit) + math.floor(parts / p.limit), parts % p.limit
end
local function later(p, us, part, units)
  local more, parts = span(p, units)
  if part + parts >= p.limit then return us + more + 1, part + parts - p.limit end
  return us + more, part + parts
end
local function earlier(p, us, part, units)
  local less, parts = span(p, units)
  if part < parts then return us - less - 1, part - parts + p.limit end
  return us - less, part - parts
end
local function after(us, part, than_us, than_part)
  return us > than_us or us == than_us and part > than_part
end

algorithms.gcra = {
  read = function(p)
    local us, part = string.match(redis.call('GET', p.key) or '', '^(%d+):(%d+)$')
    p.us, p.part = tonumber(us or p.now), math.min(tonumber(part or 0), p.limit - 1)
    if p.us < p.now then p.us, p.part = p.now, 0 end
    p.most, p.most_part = later(p, p.now, 0, p.burst)
    -- The limit was lowered, or the clock was ahead. The corrected time is saved, or the meter would never drain.
    if after(p.us, p.part, p.most, p.most_part) then
      p.us, p.part, p.changed = p.most, p.most_part, true
    end
  end,
  wait = function(p, cost)
    local us, part = later(p, p.us, p.part, cost)
    if not after(us, part, p.most, p.most_part) then return 0 end
    return us - p.most + (part > p.most_part and 1 or 0)
  end,
  left = function(p)
    local us, part = p.most - p.us, p.most_part - p.part
    if part < 0 then us, part = us - 1, part + p.limit end
    -- The product may exceed 2^53; the quotient is then off by one at most.
    local units = math.floor((us * p.limit + part) / p.period) + 1
    while units > 0 do
      local need, need_part = span(p, units)
      if not after(need, need_part, us, part) then break end
      units = units - 1
    end
    return units
  end,
  take = function(p, cost)
    p.us, p.part = later(p, p.us, p.part, cost)
  end,
  give = function(p, cost)
    p.us, p.part = earlier(p, p.us, p.part, cost)
    if p.us < p.now then p.us, p.part = p.now, 0 end
  end,
  save = function(p)
    if not after(p.us, p.part, p.now, 0) then return redis.call('UNLINK', p.key) end
    local ttl = math.ceil((p.us - p.now) / 1000) + GRACE
    redis.call('SET', p.key, string.format('%.0f:%.0f', p.us, p.part), 'PX', string.format('%.0f', ttl))
  end,
}
