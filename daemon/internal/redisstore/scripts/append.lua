-- Appends one event to an app's log.
--
-- KEYS   1 hash
--        2 stream
-- ARGV   1 channel of the app
--        2 the largest epoch that the caller knows, or '0'
--        3 nonce of the event
--        4 about how many events the stream keeps
--        5 the event's marks as the followers read them
--        6… pairs of tag and expiry: '' at once, 'never', or in how many ms
-- Result 1 epoch
--        2 seq
--        3 nonce of the event before
--        4 at: the event's time, ms
--        5 time, s
--        6 and µs
-- Tells   'e <epoch> <seq> <nonce> <nonce of the event before, or -> <at>\n<marks>'; the stream gets the same as field e.
--
-- An append that is repeated with the nonce of the last event returns that event's place and changes nothing.

local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'nonce', 'at')
local epoch, seq, previous = tonumber(state[1]), tonumber(state[2]), state[3] or ''
if not epoch or not seq then
  epoch, seq, previous = begin(KEYS[1], KEYS[2], time, tonumber(ARGV[2])), 0, ''
elseif previous == ARGV[3] then
  return { epoch, seq, '', tonumber(state[4]), time[1], time[2] }
end
seq = seq + 1

-- fold adds a mark to a record. It must give the same as tag.Record.Mark.
local function fold(record, expiry)
  local expired, stale, pending, expire_at = 0, 0, 0, 0
  if record then
    local a, b, c, d = string.match(record, '^(%d+) (%d+) (%d+) (-?%d+)$')
    expired, stale, pending, expire_at = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  end
  if expiry == '' then
    return int(seq) .. ' ' .. int(stale) .. ' 0 0'
  end
  if expire_at <= at then
    expired = math.max(expired, pending)
  end
  if pending <= expired then
    pending, expire_at = 0, 0
  end
  stale = seq
  if expiry ~= 'never' then
    local mine = at + tonumber(expiry)
    if pending == 0 or mine < expire_at then
      expire_at = mine
    end
    pending = seq
  end
  return int(expired) .. ' ' .. int(stale) .. ' ' .. int(pending) .. ' ' .. int(expire_at)
end

for i = 6, #ARGV, 2 do
  local field = 't:' .. ARGV[i]
  redis.call('HSET', KEYS[1], field, fold(redis.call('HGET', KEYS[1], field), ARGV[i + 1]))
end
redis.call('HSET', KEYS[1], 'seq', int(seq), 'nonce', ARGV[3], 'at', int(at))

local event = 'e ' .. int(epoch) .. ' ' .. int(seq) .. ' ' .. ARGV[3] .. ' ' .. (previous == '' and '-' or previous)
  .. ' ' .. int(at) .. '\n' .. ARGV[5]
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], int(epoch) .. '-' .. int(seq), 'e', event)
redis.call('PUBLISH', ARGV[1], event)
return { epoch, seq, previous, at, time[1], time[2] }
