-- Brings a follower of an app's log up to date, and begins the log if there is none, or if it is not the one that the
-- follower knows any more: Redis lost it, or failed over to a replica that was behind.
--
-- KEYS   1 hash
--        2 stream
-- ARGV   1 epoch that the follower has applied, '0': none
--        2 its seq
--        3 its nonce
--        4 about how many events are worth sending
--        5 '1' to get the whole even if the events are there
--        6 channel of the app
-- Result 1 'same' | 'events' | 'whole'
--        2 why
--        3 time, s
--        4 and µs
--        5… the events, as append.lua tells them; or fields and values of the hash
-- Tells   'l' if it began the log.

local time = redis.call('TIME')
local known = { epoch = tonumber(ARGV[1]), seq = tonumber(ARGV[2]), nonce = ARGV[3] }

local function reply(kind, why, list)
  local result = { kind, why, time[1], time[2] }
  for i = 1, #list do
    result[4 + i] = list[i]
  end
  return result
end

local function whole(why)
  return reply('whole', why, redis.call('HGETALL', KEYS[1]))
end

local function anew(why)
  begin(KEYS[1], KEYS[2], time, known.epoch)
  redis.call('PUBLISH', ARGV[6], 'l')
  return whole(why)
end

local state = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'nonce')
local epoch, seq, nonce = tonumber(state[1]), tonumber(state[2]), state[3]
if not epoch or not seq or not nonce then
  return anew(known.epoch == 0 and 'the log begins' or 'the log was lost')
elseif known.epoch == 0 then
  return whole('following begins')
elseif epoch < known.epoch then
  return anew('the log fell back behind a later one')
elseif epoch > known.epoch then
  return whole('the log began anew')
elseif seq < known.seq or (seq == known.seq and nonce ~= known.nonce) then
  return anew('the log lost events')
elseif ARGV[5] == '1' then
  return whole('events are unreadable')
elseif seq == known.seq then
  return reply('same', '', {})
end

-- What the follower applied last must be in the stream too, and be the same: then the rest follows without a gap.
local from = known.seq == 0 and 1 or known.seq
local found = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-' .. string.format('%.0f', from), '+', 'COUNT', ARGV[4])
local events = {}
for i, item in ipairs(found) do
  if item[1] ~= ARGV[1] .. '-' .. string.format('%.0f', from + i - 1) then
    return whole('events are missing')
  end
  events[i] = item[2][2]
end
if known.seq > 0 and #events > 0 then
  if string.match(events[1], '^e %d+ %d+ (%S+) ') ~= known.nonce then
    return anew('the log has another past')
  end
  table.remove(events, 1)
end
if #events ~= seq - known.seq then
  return whole('events are missing')
end
return reply('events', 'events were missed', events)
