-- Ends a lease, if it is held with this token.
--
-- KEYS   1 lease
-- ARGV   1 token
--        2 how long nobody is to be granted the key, ms; '0': not at all
--        3 channel of the app
--        4 id of the key
-- Result 1 1 if it was ended
--        2 time, s
--        3 and µs
-- Tells   'r <id>' if it was ended.

local time = redis.call('TIME')
local token, _, holder = lease_of(KEYS[1])
if token == 0 or string.format('%.0f', token) ~= ARGV[1] or holder == '\0released' then
  return { 0, time[1], time[2] }
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1] .. ' \0released', 'PX', ARGV[2])
end
redis.call('PUBLISH', ARGV[3], 'r ' .. ARGV[4])
return { 1, time[1], time[2] }
