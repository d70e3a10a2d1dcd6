-- Says that a member's clients were told of the events up to a seq, if its time is not over.
--
-- KEYS   1 hash
-- ARGV   1 channel of the app
--        2 name of the member
--        3 seq
-- Result 1 1 if it was a member
--        2 time, s
--        3 and µs
-- Tells   'a <name> <seq>' if it was a member.

local time = redis.call('TIME')
local log = log_at(KEYS[1])
if not log then
  return { 0, time[1], time[2] }
end
local others, told, till = living(log.members, millis(time), ARGV[2])
if not told then
  return { 0, time[1], time[2] }
end
local seq = math.max(tonumber(told), tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'members', others .. ARGV[2] .. ' ' .. till .. ' ' .. int(seq) .. '\n')
redis.call('PUBLISH', ARGV[1], 'a ' .. ARGV[2] .. ' ' .. ARGV[3])
return { 1, time[1], time[2] }
