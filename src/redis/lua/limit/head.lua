-- Checks several policies for one identity, all or none.
-- KEYS: for each policy, its state and its block
-- ARGV: action, name of the request, then for each policy: algorithm, limit, period (us), burst, cost, 1 if the policy
--       is in shadow mode
--   take: charges the policies that have room, provided that all policies not in shadow mode have room
--   peek: replies what take would reply, and charges none
--   drain: charges the cost, or as much of it as is left; give: gives the cost back
-- Reply: 1 if there is room, otherwise 0; now (us); then for each policy: verdict, units left, and how long (us) until
--        there is room for the cost, until one more unit is available, and until all units are
-- Verdicts: 0 room, 1 no room now, 2 never room, 3 blocked
local GRACE = 1000 -- how much longer a state is kept than it counts (ms)
local algorithms = {}
