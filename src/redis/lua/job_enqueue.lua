-- Enqueues jobs, all or none. Running it again with the same ids changes nothing.
-- ARGV: 2 prefix of the keys of idempotency keys, then for each job: id, data, priority, delay (ms), maximum attempts,
--       idempotency key or '', fingerprint of the request
-- Reply: 1 if a worker should be woken; then for each job: 1 new, 0 enqueued earlier, -1 the key was used for a different job
--        (then nothing is enqueued); its id
local function earlier(at)
  local id, key, print = ARGV[at], ARGV[at + 5], ARGV[at + 6]
  if redis.call('EXISTS', JOB .. id) == 1 or key == '' then return end
  local found = redis.call('GET', ARGV[2] .. key)
  if not found then return end
  local first, same = string.match(found, '^(%S+) (%S+)$')
  if first ~= id then return first, same == print and 0 or -1 end
end
local out, refused, were_none = {0}, false, redis.call('EXISTS', R) == 0
for at = 3, #ARGV, 7 do
  local first, verdict = earlier(at)
  refused = refused or verdict == -1
  out[#out + 1] = verdict or 1
  out[#out + 1] = first or ARGV[at]
end
if refused then return out end
promote()
for n = 1, (#ARGV - 2) / 7 do
  local at = 7 * n - 4
  local id, key = ARGV[at], ARGV[at + 5]
  if out[2 * n] == 1 and redis.call('EXISTS', JOB .. id) == 0 then
    if key ~= '' then redis.call('SET', ARGV[2] .. key, id .. ' ' .. ARGV[at + 6], 'PX', 86400000) end
    add(id, ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4])
  end
end
out[1] = ring(were_none)
return out
