-- Drops a resource with all its variants, and the right of every fetch under way to store.
-- KEYS: generation, resource
-- ARGV: what the keys of its variants begin with
-- Reply: 1
local variants = string.match(redis.call('GET', KEYS[2]) or '', '^V%x+ %S+(.*)$')
redis.call('UNLINK', KEYS[1], KEYS[2])
for variant in string.gmatch(variants or '', '%x+') do redis.call('UNLINK', ARGV[1] .. variant) end
return 1
