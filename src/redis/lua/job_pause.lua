-- Pauses a queue, or lets it go on.
-- ARGV: 2 why it pauses, or '' to go on
-- Reply: 1 if somebody should come
if ARGV[2] == '' then
  redis.call('HDEL', Q, 'paused', 'hold')
  return ring(true)
end
redis.call('HSET', Q, 'paused', ARGV[2])
touch(Q, KEEP)
return 0
