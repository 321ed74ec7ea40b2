-- Drops a resource with all its variants; fetches under way may not store their responses.
-- KEYS: generation, resource
-- ARGV: prefix of the keys of its variants
-- Reply: of the records that were dropped, those without content, which may be in pieces, from their version on
local heads = {}
local function drop(key, front)
  local record = redis.call('GETRANGE', key, 0, 65535)
  local at = string.match(record, front)
  -- Version and checksum have 5 bytes, and the length of the head 4.
  if at and #record < 65536 and #record - at >= 8 and struct.unpack('>I4', record, at + 5) + 8 == #record - at then
    heads[#heads + 1] = string.sub(record, at)
  end
  redis.call('UNLINK', key)
end
local variants = string.match(redis.call('GET', KEYS[2]) or '', '^V%x+ %S+(.*)$')
drop(KEYS[2], '^E()')
for variant in string.gmatch(variants or '', '%x+') do drop(ARGV[1] .. variant, '^%S+ ()') end
redis.call('UNLINK', KEYS[1])
return heads
