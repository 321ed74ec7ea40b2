-- Sends messages to who is subscribed to a channel, all or none.
-- ARGV: channel, then the messages
-- Reply: for each how many got it
local reply = {}
for i = 2, #ARGV do reply[i - 1] = redis.call('PUBLISH', ARGV[1], ARGV[i]) end
return reply
