-- Drops the records that name a body of which a piece was lost; everything else stored for the resource stays.
-- KEYS: resource
-- ARGV: name of the body, prefix of the keys of the resource's variants
-- Reply: how many records were dropped
local body = ARGV[1]
local function drop(key)
  local record = redis.call('GET', key)
  if not record or not string.find(record, body, 1, true) then return 0 end
  return redis.call('UNLINK', key)
end
local index = redis.call('GET', KEYS[1]) or ''
local variants = string.match(index, '^V%x+ %S+(.*)$')
if not variants then return drop(KEYS[1]) end
local dropped = 0
for variant in string.gmatch(variants, '%x+') do dropped = dropped + drop(ARGV[2] .. variant) end
return dropped
