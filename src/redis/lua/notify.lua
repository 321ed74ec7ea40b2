-- Sends messages to the subscribers of a channel, all or none.
-- ARGV: channel, then the messages
-- Reply: for each message, how many received it
local reply = {}
for i = 2, #ARGV do reply[i - 1] = redis.call('PUBLISH', ARGV[1], ARGV[i]) end
return reply
