-- Moves a schedule on to its next slot, once, and enqueues its job if one is due.
-- KEYS: 6 schedules, 7 their next slots
-- ARGV: 2 name, 3 its definition, 4 its current slot (ms), 5 the next one (ms), 6 id of the job, or '' for no job,
--       7 data, 8 priority, 9 maximum attempts
-- Reply: 1 done, 0 somebody else was first, or the schedule was changed; 1 to wake somebody
local name, id = ARGV[2], ARGV[6]
local stands = redis.call('ZSCORE', KEYS[7], name)
if not stands or tonumber(stands) ~= tonumber(ARGV[4]) or redis.call('HGET', KEYS[6], name) ~= ARGV[3] then
  return {0, 0}
end
local is_new = id ~= '' and redis.call('EXISTS', JOB .. id) == 0
local were_none = redis.call('EXISTS', R) == 0
promote()
redis.call('ZADD', KEYS[7], ARGV[5], name)
redis.call('ZADD', KEYS[7], 'GT', now, '')
for _, key in ipairs({KEYS[6], KEYS[7]}) do touch(key, ARGV[5] - now + KEEP) end
touch(Q, KEEP)
if is_new then add(id, ARGV[7], ARGV[8], 0, ARGV[9]) end
return {1, ring(were_none)}
