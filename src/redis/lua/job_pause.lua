-- Pauses or resumes a queue.
-- ARGV: 2 why it is paused, or '' to resume
-- Reply: 1 to wake somebody
if ARGV[2] == '' then
  redis.call('HDEL', Q, 'paused', 'hold')
  return ring(true)
end
redis.call('HSET', Q, 'paused', ARGV[2])
touch(Q, KEEP)
return 0
