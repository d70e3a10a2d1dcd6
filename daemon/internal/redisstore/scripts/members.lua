-- Returns who vouches for what it holds of an app.
--
-- KEYS   1 hash
-- ARGV   1 for how long a member vouches, ms
-- Result 1 the members whose time is not over, as in the hash
--        2 for how many ms there may be others, who vouch since an epoch before
--        3 time, s
--        4 and µs

local time = redis.call('TIME')
local log = log_at(KEYS[1])
if not log then
  return { '', tonumber(ARGV[1]), time[1], time[2] }
end
local members = living(log.members, millis(time), '')
return { members, quiet(log, time, tonumber(ARGV[1])), time[1], time[2] }
