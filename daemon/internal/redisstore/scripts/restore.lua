-- Gives a log that was lost its table back, from a follower that had been told of everything that was acknowledged to
-- anybody. An epoch begins with it, in which what was rendered in the one that was lost can be judged.
--
-- KEYS   1 hash
--        2 stream
-- ARGV   1 channel of the app
--        2 epoch that the log is in
--        3 epoch that was lost
--        4 its seq, as the follower has applied it
--        5 floor
--        6 past, as in the hash
--        7 floorat
--        8… pairs of tag and record
-- Result 1 1 if it was restored; 0: another has restored it, or the epoch cannot be placed before the present one
--        2 time, s
--        3 and µs
-- Tells   'l' if it was restored.

local time = redis.call('TIME')
local log = log_at(KEYS[1])
local epoch, seq = tonumber(ARGV[3]), tonumber(ARGV[4])
if not log or int(log.epoch) ~= ARGV[2] or log.lost ~= '1' or log.epoch <= seq then
  return { 0, time[1], time[2] }
end
for i = 8, #ARGV, 2 do
  local field = 't:' .. ARGV[i]
  local a, b, c, d, e = record(redis.call('HGET', KEYS[1], field))
  local oa, ob, oc, od, oe = record(ARGV[i + 1])
  if oc ~= 0 then -- as tag.Record.Merge
    d = (c == 0 or od < d) and od or d
    c = math.max(c, oc)
  end
  redis.call('HSET', KEYS[1], field, int(math.max(a, oa)) .. ' ' .. int(math.max(b, ob)) .. ' ' .. int(c) .. ' ' .. int(d)
    .. ' ' .. int(math.max(e, oe)))
end
local floor = math.max(tonumber(redis.call('HGET', KEYS[1], 'floor')) or 0, tonumber(ARGV[5]))
local floorat = math.max(tonumber(redis.call('HGET', KEYS[1], 'floorat')) or 0, tonumber(ARGV[7]))
redis.call('HSET', KEYS[1], 'floor', int(floor), 'floorat', int(floorat))
log.past = int(epoch) .. ' ' .. int(seq) .. ';' .. ARGV[6]
go_on(KEYS[1], KEYS[2], time, log, 0, '0')
redis.call('PUBLISH', ARGV[1], 'l')
return { 1, time[1], time[2] }
