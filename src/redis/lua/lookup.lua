-- Finds the stored response that a request selects, and begins a generation where there is none.
-- KEYS: resource, ledger
-- ARGV: generation to begin with, how long it may take to fill (ms),
--       ledger to begin with, its time to live (ms), selecting fields "\nname:value\n..."
-- Reply: generation, soft purges, ledger, fields it varies on or nil, entry or nil
local ledger = redis.call('GET', KEYS[2])
if not ledger then
  ledger = ARGV[3]
  redis.call('SET', KEYS[2], ledger, 'PX', ARGV[4])
end
local g, s, vary, entry = unpack(redis.call('HMGET', KEYS[1], 'g', 's', 'v', 'e'))
if not g then
  redis.call('HSET', KEYS[1], 'g', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {ARGV[1], 0, ledger, false, false}
end
if vary and vary ~= '' then
  local values = {}
  for name in string.gmatch(vary, '[^,]+') do
    local _, from = string.find(ARGV[5], '\n' .. name .. ':', 1, true)
    values[#values + 1] = name
    if from then
      values[#values + 1] = ':' .. string.sub(ARGV[5], from + 1, string.find(ARGV[5], '\n', from + 1, true) - 1)
    end
    values[#values + 1] = '\n'
  end
  entry = redis.call('HGET', KEYS[1], 'e' .. redis.sha1hex(table.concat(values)))
end
if not entry and redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return {g, tonumber(s or 0), ledger, vary, entry}
