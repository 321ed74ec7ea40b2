-- Asks several policies about one identity, all or none.
-- KEYS: for each policy its state and its block
-- ARGV: what to do, the name of the request, then for each policy: algorithm, limit, period (us), burst, cost,
--       1 where the policy only watches
--   take: charges every policy, where all that do not only watch have room; peek: says what take would say, and
--   charges none; drain: charges what there is of the cost; give: gives it back
-- Reply: 1 where there is room, else 0; the time (us); then for each policy: verdict, units left, and in us how
--        long until there is room for the cost, until one more unit is there, and until all are there
-- Verdicts: 0 room, 1 not now, 2 never, 3 blocked
local GRACE = 1000 -- how much longer than it counts a state lives (ms)
local algorithms = {}
