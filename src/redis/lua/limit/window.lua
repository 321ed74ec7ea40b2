-- Sliding window counter: the count of the previous window fades during the current one. What remains of it is rounded
-- to the nearest unit.
-- State: "window:number:count:before": the length of a window (ms), the number of the current window since the epoch,
-- the units taken in it, and those taken in the previous one.

-- How much of a window (ms) may be left, at most, for `units` of the window before it to count as no more than `room`.
local function fades(p, units, room)
  return math.ceil((2 * room + 1) * p.window / (2 * units)) - 1
end
local function faded(p)
  return math.floor((2 * p.before * p.rest + p.window) / (2 * p.window))
end
-- How long until no more than `room` units count (ms), if none are taken.
local function until_room(p, room)
  if faded(p) + p.count <= room then return 0 end
  if p.count <= room then return p.rest - fades(p, p.before, room - p.count) end
  return p.rest + p.window - fades(p, p.count, room)
end

algorithms.window = {
  read = function(p)
    p.window, p.ms = p.period / 1000, math.floor(p.now / 1000)
    p.number, p.count, p.before = math.floor(p.ms / p.window), 0, 0
    p.rest = (p.number + 1) * p.window - p.ms
    local state = redis.call('GET', p.key) or ''
    local window, number, count, before = string.match(state, '^(%d+):(%d+):(%d+):(%d+)$')
    if not window then return end
    window, number, count, before = tonumber(window), tonumber(number), tonumber(count), tonumber(before)
    -- More than fits cannot have been counted under this limit: it was lowered.
    count, before = math.min(count, p.limit), math.min(before, p.limit)
    if window ~= p.window then
      -- The period was changed: all units that were taken count as taken just now.
      p.count, p.changed = math.min(count + before, p.limit), true
    elseif number >= p.number then
      -- If the state is of a later window than the current one, the clock was ahead.
      p.count, p.before, p.changed = count, before, number > p.number
    elseif number == p.number - 1 then
      p.before = count
    end
  end,
  wait = function(p, cost)
    local ms = until_room(p, p.limit - cost)
    if ms == 0 then return 0 end
    return (p.ms + ms) * 1000 - p.now
  end,
  left = function(p)
    return math.max(0, p.limit - p.count - faded(p))
  end,
  take = function(p, cost)
    p.count = p.count + cost
  end,
  give = function(p, cost)
    p.before = math.max(0, p.before - math.max(0, cost - p.count))
    p.count = math.max(0, p.count - cost)
  end,
  save = function(p)
    if p.count + p.before == 0 then return redis.call('UNLINK', p.key) end
    local state = string.format('%.0f:%.0f:%.0f:%.0f', p.window, p.number, p.count, p.before)
    redis.call('SET', p.key, state, 'PX', string.format('%.0f', p.rest + p.window + GRACE))
  end,
}
