-- Writes a value or removes it, if that is still right. A fill under way is refused from then on.
-- KEYS: value, lease of a fill
-- ARGV: 'always', 'stamp', 'drop' (like 'stamp', and a fill under way may go on) or 'lease';
--       the stamp that was seen ('' for no value) or the lease;
--       record, or '' to remove the value; time to live (ms)
-- Reply: 1 done, 0 refused; 1 if there was a value before
-- Sent twice it does the same: a record that stands already was written by the first, and what is gone is removed.
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
