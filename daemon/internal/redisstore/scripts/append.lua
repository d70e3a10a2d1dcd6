-- Appends one event to an app's log.
--
-- KEYS   1 hash
--        2 stream
-- ARGV   1 channel of the app
--        2 the largest epoch or seq that the caller knows, or '0'
--        3 nonce of the event
--        4 about how many events the stream keeps
--        5 for how long a member vouches, ms
--        6 the event's marks as the followers read them
--        7… pairs of tag and expiry: '' at once, 'never', or in how many ms
-- Result 1 epoch
--        2 seq
--        3 nonce of the event before
--        4 at: the event's time, ms
--        5 the members whose time is not over, as in the hash
--        6 for how many ms there may be others, who vouch since an epoch before
--        7 time, s
--        8 and µs
-- Tells   'e <epoch> <seq> <nonce> <nonce of the event before, or -> <at>\n<marks>'; the stream gets the same as field e.
--         Before it, 'l' if an epoch began.
--
-- An append that is repeated with the nonce of the last event returns that event's place and changes nothing.

local time = redis.call('TIME')
local at = millis(time)
local log = log_at(KEYS[1])
if not log then
  log = anew(KEYS[1], KEYS[2], time, tonumber(ARGV[2]), '1')
  redis.call('PUBLISH', ARGV[1], 'l')
elseif moved(log) then
  log = go_on(KEYS[1], KEYS[2], time, log, tonumber(ARGV[2]), '1')
  redis.call('PUBLISH', ARGV[1], 'l')
end

local function reply(previous, when)
  local members = living(log.members, at, '')
  return { log.epoch, log.seq, previous, when, members, quiet(log, time, tonumber(ARGV[5])), time[1], time[2] }
end

if log.nonce == ARGV[3] then
  return reply('', log.at)
end
local previous, seq = log.nonce, log.seq + 1
log.seq = seq

-- fold adds a mark to a record. It must give the same as tag.Record.Mark.
local function fold(text, expiry)
  local expired, stale, pending, expire_at, before = record(text)
  local made = ' ' .. int(math.max(before, at))
  if expiry == '' then
    return int(seq) .. ' ' .. int(stale) .. ' 0 0' .. made
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
  return int(expired) .. ' ' .. int(stale) .. ' ' .. int(pending) .. ' ' .. int(expire_at) .. made
end

for i = 7, #ARGV, 2 do
  local field = 't:' .. ARGV[i]
  redis.call('HSET', KEYS[1], field, fold(redis.call('HGET', KEYS[1], field), ARGV[i + 1]))
end
redis.call('HSET', KEYS[1], 'seq', int(seq), 'nonce', ARGV[3], 'at', int(at))

local event = 'e ' .. int(log.epoch) .. ' ' .. int(seq) .. ' ' .. ARGV[3] .. ' ' .. (previous == '' and '-' or previous)
  .. ' ' .. int(at) .. '\n' .. ARGV[6]
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], int(log.epoch) .. '-' .. int(seq), 'e', event)
redis.call('PUBLISH', ARGV[1], event)
return reply(previous, at)
