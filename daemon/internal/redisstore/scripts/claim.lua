-- Hands a lease over under a new token: if it is held with the old one, or if nobody has it and the key was not filled
-- since.
--
-- KEYS   1 entry
--        2 lease
-- ARGV   1 the old token
--        2 holder
--        3 how long the lease is to live, ms
-- Result 1 the new token; 0: it is lost
--        2 time, s
--        3 and µs

local time = redis.call('TIME')
local _, version = head(KEYS[1])
local written = version and token_of(version) or 0
local held, left, holder = lease_of(KEYS[2])
local old = tonumber(ARGV[1])
if not is_lease(held, holder, ARGV[1]) and (left > 0 or written >= old) then
  return { 0, time[1], time[2] }
end
local token = next_token(math.max(old, held, written), time)
grant(KEYS[2], token, ARGV[2], ARGV[3])
return { token, time[1], time[2] }
