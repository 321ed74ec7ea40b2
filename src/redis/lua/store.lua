-- Stores a response, unless its resource was purged since the fetch began, and ends the lead of its fetch.
-- KEYS: generation, resource, variant (or the resource again if the response does not vary), lead
-- ARGV: generation in which the fetch began, fields varied on or '', variant, entry, time to live (ms), maximum number
--       of variants of a resource or 0 for any number (the index then lists none), prefix of the keys of its variants,
--       token of the lead or '', the rest of the ended lead, how long that is kept (ms), first 9 bytes of the record
--       that may be replaced or '' for any
-- Reply: 1 stored, 0 refused
-- The resource holds "E" and its entry, or an index: "V", the name of the index, the fields varied on, the variants.
-- A variant holds the name of its index, so that no later index finds it.
if ARGV[8] ~= '' then
  local token, of = string.match(redis.call('GET', KEYS[4]) or '', '^[LP](%x+) (%x+)')
  if token == ARGV[8] then
    redis.call('SET', KEYS[4], 'D' .. token .. ' ' .. of .. ' 0 ' .. ARGV[9], 'PX', ARGV[10])
  end
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
-- Whether the record that may be replaced is no longer there: another is, or none, because it was purged.
local function is_another()
  local first = redis.call('GETRANGE', KEYS[2], 0, 9)
  if string.sub(first, 1, 1) ~= 'V' then return string.sub(first, 2) ~= ARGV[11] end
  if ARGV[2] == '' then return true end
  local name, fields = string.match(redis.call('GET', KEYS[2]), '^V(%x+) (%S+)')
  -- If it varied on other fields before, its former key is not known here.
  if fields ~= ARGV[2] then return false end
  return redis.call('GETRANGE', KEYS[3], 0, #name + 9) ~= name .. ' ' .. ARGV[11]
end
if ARGV[11] ~= '' and is_another() then return 0 end
if ARGV[2] == '' then
  redis.call('SET', KEYS[2], 'E' .. ARGV[4], 'PX', ARGV[5])
  return 1
end
local name, fields, variants = string.match(redis.call('GET', KEYS[2]) or '', '^V(%x+) (%S+)(.*)$')
if fields ~= ARGV[2] then
  name, variants = ARGV[1], ''
end
if ARGV[6] ~= '0' and not string.find(variants, ARGV[3], 1, true) then
  variants = variants .. ' ' .. ARGV[3]
  local _, count = string.gsub(variants, ' ', '')
  if count > tonumber(ARGV[6]) then
    local oldest, rest = string.match(variants, '^ (%x+)(.*)$')
    redis.call('UNLINK', ARGV[7] .. oldest)
    variants = rest
  end
end
local ttl = math.max(tonumber(ARGV[5]), redis.call('PTTL', KEYS[2]))
redis.call('SET', KEYS[2], 'V' .. name .. ' ' .. ARGV[2] .. variants, 'PX', string.format('%.0f', ttl))
redis.call('SET', KEYS[3], name .. ' ' .. ARGV[4], 'PX', ARGV[5])
return 1
