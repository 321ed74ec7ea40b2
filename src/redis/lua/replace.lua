-- Drops a resource with all its variants. Of the fetches under way, only the caller's may still store its response.
-- KEYS: generation, resource
-- ARGV: generation in which that fetch began, the next one, how long that lasts (ms), prefix of the keys of variants
-- Reply: 1 done, 0 the resource was purged since then
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local variants = string.match(redis.call('GET', KEYS[2]) or '', '^V%x+ %S+(.*)$')
redis.call('UNLINK', KEYS[2])
for variant in string.gmatch(variants or '', '%x+') do redis.call('UNLINK', ARGV[4] .. variant) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
