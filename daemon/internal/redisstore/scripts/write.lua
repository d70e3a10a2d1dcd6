-- Stores an entry unless the same or a newer version is there, and ends the writer's lease in either case. A key with an
-- entry is cacheable.
--
-- KEYS   1 entry
--        2 lease
--        3 count of renders without a write
-- ARGV   1 version, 50 characters
--        2 how long the entry is kept, ms
--        3 token of the lease that ends, or '0'
--        4 '1' to store only if there is no entry
--        5 channel of the app
--        6 id of the key
--        7 the value after its first line
--        8 when its content was made, ms; '0': now
-- Result 1 1 if it was stored
--        2 time, s
--        3 and µs
-- Tells   'w <id> <version>' if it was stored, else 'r <id>' if the lease was ended.

local time = redis.call('TIME')
local _, version = head(KEYS[1])
local stored = not version or (ARGV[4] ~= '1' and newer(ARGV[1], version))
local token, _, holder = lease_of(KEYS[2])
if stored then
  local now, made = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[8])
  local created = string.format('%016.0f', made > 0 and math.min(made, now) or now)
  redis.call('SET', KEYS[1], 'isrd/1 ' .. ARGV[1] .. ' ' .. created .. '\n' .. ARGV[7], 'PX', ARGV[2])
  redis.call('DEL', KEYS[3])
end

local released = is_lease(token, holder, ARGV[3])
if released or (stored and holder == UNCACHEABLE) then
  redis.call('DEL', KEYS[2])
end

if stored then
  redis.call('PUBLISH', ARGV[5], 'w ' .. ARGV[6] .. ' ' .. ARGV[1])
elseif released then
  redis.call('PUBLISH', ARGV[5], 'r ' .. ARGV[6])
end
return { stored and 1 or 0, time[1], time[2] }
