-- Ends a lease, if it is held with this token.
--
-- KEYS   1 lease
--        2 count of renders without a write
-- ARGV   1 token
--        2 how long nobody is to be granted the key, ms; '0': not at all
--        3 channel of the app
--        4 id of the key
--        5 '1' if the key was rendered to the end and will not be written
--        6 with how many of those it is uncacheable
--        7 for how long, and how long one of them counts, ms
-- Result 1 1 if it was ended
--        2 time, s
--        3 and µs
-- Tells   'r <id>' if it was ended.

local time = redis.call('TIME')
local token, _, holder = lease_of(KEYS[1])
if not is_lease(token, holder, ARGV[1]) then
  return { 0, time[1], time[2] }
end
local instead, till = RELEASED, tonumber(ARGV[2])
if ARGV[5] == '1' then
  if redis.call('INCR', KEYS[2]) >= tonumber(ARGV[6]) then
    redis.call('DEL', KEYS[2])
    if till == 0 then
      instead, till = UNCACHEABLE, tonumber(ARGV[7])
    end
  else
    redis.call('PEXPIRE', KEYS[2], ARGV[7])
  end
end
if till == 0 then
  redis.call('DEL', KEYS[1])
else
  grant(KEYS[1], token, instead, till)
end
redis.call('PUBLISH', ARGV[3], 'r ' .. ARGV[4])
return { 1, time[1], time[2] }
