-- Writes or removes a value, if the condition still holds. From then on a fill under way is refused.
-- KEYS: value, lease of a fill
-- ARGV: condition: 'always', 'stamp', 'drop' (like 'stamp', but a fill under way may go on) or 'lease';
--       the stamp that was seen ('' for no value), or the lease;
--       record, or '' to remove the value; time to live (ms)
-- Reply: 1 done, 0 refused; 1 if there was a value before
-- Sending it twice has no further effect: if the record is already there, the first call wrote it, and if the value to
-- remove is gone, the first call removed it.
local mode, record = ARGV[1], ARGV[3]
local seen = redis.call('GETRANGE', KEYS[1], 9, 24)
local there = seen ~= '' and 1 or 0
if record ~= '' and seen == string.sub(record, 10, 25) then return {1, 0} end
local gone = record == '' and seen == ''
if (mode == 'stamp' or mode == 'drop') and seen ~= ARGV[2] and not gone then return {0, there} end
if mode == 'lease' and redis.call('GET', KEYS[2]) ~= ARGV[2] then return {0, there} end
if record == '' then redis.call('UNLINK', KEYS[1]) else redis.call('SET', KEYS[1], record, 'PX', ARGV[4]) end
if mode ~= 'drop' then redis.call('UNLINK', KEYS[2]) end
return {1, there}
