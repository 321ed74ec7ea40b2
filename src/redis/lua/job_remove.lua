-- Removes a job that is not in flight. Running it again with the same token returns the same answer for a while.
-- ARGV: 2 id, 3 token
-- Reply: 1 removed, 0 no such job, -1 it is in flight
local id, token = ARGV[2], ARGV[3]
local o, z, m = unpack(redis.call('HMGET', JOB .. id, 'o', 'z', 'm'))
if o == token then return 1 end
if not m or z then return 0 end
if redis.call('ZSCORE', L, id) then return -1 end
for _, key in ipairs({R, D, X}) do redis.call('ZREM', key, id) end
finish(id, 'removed', token)
count('removed')
return 1
