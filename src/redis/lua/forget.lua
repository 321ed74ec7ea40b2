-- Drops a resource with all its variants; fetches under way may not store their responses.
-- KEYS: generation, resource
-- ARGV: prefix of the keys of its variants
-- Reply: 1
local variants = string.match(redis.call('GET', KEYS[2]) or '', '^V%x+ %S+(.*)$')
redis.call('UNLINK', KEYS[1], KEYS[2])
for variant in string.gmatch(variants or '', '%x+') do redis.call('UNLINK', ARGV[1] .. variant) end
return 1
