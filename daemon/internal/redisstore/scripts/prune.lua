-- Forgets tags whose marks are all under a floor, below which content is regenerated.
--
-- KEYS   1 hash
-- ARGV   1 epoch
--        2 floor
--        3… tags
-- Result 1 how many were forgotten
--        2 time, s
--        3 and µs

local time = redis.call('TIME')
local log = log_at(KEYS[1])
if not log or int(log.epoch) ~= ARGV[1] then
  return { 0, time[1], time[2] }
end
local floor = math.max(tonumber(redis.call('HGET', KEYS[1], 'floor')) or 0, tonumber(ARGV[2]))
local floorat = tonumber(redis.call('HGET', KEYS[1], 'floorat')) or 0
local forgotten = 0
for i = 3, #ARGV do
  local field = 't:' .. ARGV[i]
  local a, b, c, _, at = record(redis.call('HGET', KEYS[1], field))
  if math.max(a, b, c) <= floor then
    floorat = math.max(floorat, at)
    forgotten = forgotten + redis.call('HDEL', KEYS[1], field)
  end
end
redis.call('HSET', KEYS[1], 'floor', int(floor), 'floorat', int(floorat))
return { forgotten, time[1], time[2] }
