#!lua flags=no-writes
-- Returns the state of a single job.
-- KEYS: 1 job, 2 ready, 3 delayed, 4 leases, 5 dead
-- ARGV: id
-- Reply: 1, attempts, maximum attempts, when enqueued (ms), priority, when it is due, its lease ends, or it died (ms,
--        otherwise 0); state (ready, delayed, leased, dead, lost, done, removed, dropped), last error, data;
--        or only 0 if there is no such job
local v = redis.call('HMGET', KEYS[1], 'a', 'm', 't', 'p', 'z', 'e', 'b')
if not v[2] then return {0} end
local out = {1, tonumber(v[1]), tonumber(v[2]), tonumber(v[3]), tonumber(v[4]), 0, v[5] or 'lost', v[6] or '', v[7] or ''}
for i, state in ipairs({'ready', 'delayed', 'leased', 'dead'}) do
  local score = not v[5] and redis.call('ZSCORE', KEYS[i + 1], ARGV[1])
  if score then
    out[7] = state
    if state == 'dead' then out[6] = math.floor(score / 1000) elseif state ~= 'ready' then out[6] = tonumber(score) end
  end
end
return out
