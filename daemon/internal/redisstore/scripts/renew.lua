-- Lets a lease live on, if it is held with this token.
--
-- KEYS   1 lease
-- ARGV   1 token
--        2 how long it is to live from now, ms
-- Result 1 1 if it lives on
--        2 time, s
--        3 and µs

local time = redis.call('TIME')
local token, _, holder = lease_of(KEYS[1])
if not is_lease(token, holder, ARGV[1]) then
  return { 0, time[1], time[2] }
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 1, time[1], time[2] }
