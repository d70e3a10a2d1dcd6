-- Ends a lease that the one who asked for it may have been granted without hearing of it, if it is held by that holder.
--
-- KEYS   1 lease
-- ARGV   1 holder, as read.lua was given it
--        2 channel of the app
--        3 id of the key
-- Result 1 1 if it was ended
--        2 time, s
--        3 and µs
-- Tells   'r <id>' if it was ended.

local time = redis.call('TIME')
local token, _, holder = lease_of(KEYS[1])
if token == 0 or holder ~= ARGV[1] then
  return { 0, time[1], time[2] }
end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], 'r ' .. ARGV[3])
return { 1, time[1], time[2] }
