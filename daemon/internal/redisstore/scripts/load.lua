-- Brings a follower of an app's log up to date, and begins an epoch if there is no log, or if it is not the one that the
-- follower knows any more: Redis lost it, or failed over to a replica that was behind. A member is counted as one from
-- here on.
--
-- KEYS   1 hash
--        2 stream
-- ARGV   1 epoch that the follower has applied, '0': none
--        2 its seq
--        3 its nonce
--        4 about how many events are worth sending
--        5 '1' to get the whole even if the events are there
--        6 channel of the app
--        7 name of the member, '': the follower vouches for nothing
--        8 seq up to which its clients were told
--        9 for how long it vouches, ms
--        10 how many fields of the whole are worth sending
-- Result 1 'same' | 'events' | 'whole' | 'large': the whole is larger than that
--        2 why
--        3 time, s
--        4 and µs
--        5 fields of the hash
--        6 for how many ms there may be daemons that are no members, who vouch since an epoch before
--        7 1 if the log may lack, until then, events that were acknowledged; else 0
--        8… the events, as append.lua tells them; or fields and values of the hash
-- Tells   'l' if an epoch began.

local time = redis.call('TIME')
local known = { epoch = tonumber(ARGV[1]), seq = tonumber(ARGV[2]), nonce = ARGV[3] }
local highest = math.max(known.epoch, known.seq)
local log = log_at(KEYS[1])

-- look says what the follower is to get, and why.
local function look()
  local why = known.epoch == 0 and 'following begins' or 'the log began anew'
  if not log then
    log = anew(KEYS[1], KEYS[2], time, highest, '1')
    redis.call('PUBLISH', ARGV[6], 'l')
    return 'whole', known.epoch == 0 and 'the log begins' or 'the log was lost'
  elseif moved(log) then
    log = go_on(KEYS[1], KEYS[2], time, log, highest, '1')
    redis.call('PUBLISH', ARGV[6], 'l')
    return 'whole', 'redis began anew'
  elseif known.epoch == 0 or log.epoch > known.epoch then
    return 'whole', why
  end
  local lost
  if log.epoch < known.epoch then
    lost = 'the log fell back behind a later one'
  elseif log.seq < known.seq or (log.seq == known.seq and log.nonce ~= known.nonce) then
    lost = 'the log lost events'
  elseif ARGV[5] == '1' then
    return 'whole', 'events are unreadable'
  elseif log.seq == known.seq then
    return 'same', ''
  end

  -- What the follower applied last must be in the stream too, and be the same: then the rest follows without a gap.
  local events = {}
  if not lost then
    local from = known.seq == known.epoch and known.seq + 1 or known.seq
    local found = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-' .. int(from), '+', 'COUNT', ARGV[4])
    for i, item in ipairs(found) do
      if item[1] ~= ARGV[1] .. '-' .. int(from + i - 1) then
        return 'whole', 'events are missing'
      end
      events[i] = item[2][2]
    end
    if from == known.seq and #events > 0 then
      if string.match(events[1], '^e %d+ %d+ (%S+) ') ~= known.nonce then
        lost = 'the log has another past'
      end
      table.remove(events, 1)
    end
  end
  if lost then
    log = anew(KEYS[1], KEYS[2], time, math.max(highest, log.epoch, log.seq), '0')
    redis.call('PUBLISH', ARGV[6], 'l')
    return 'whole', lost
  elseif #events ~= log.seq - known.seq then
    return 'whole', 'events are missing'
  end
  return 'events', 'events were missed', events
end

local kind, why, list = look()
if ARGV[7] ~= '' then
  local others, told = living(log.members, millis(time), ARGV[7])
  told = math.max(tonumber(told or 0), tonumber(ARGV[8])) -- an acknowledgement may have been faster
  redis.call('HSET', KEYS[1], 'members', others .. ARGV[7] .. ' ' .. int(over(millis(time), tonumber(ARGV[9]))) .. ' ' .. int(told) .. '\n')
end
local size = redis.call('HLEN', KEYS[1])
if kind == 'whole' then
  if size > tonumber(ARGV[10]) then
    kind = 'large'
  else
    list = redis.call('HGETALL', KEYS[1])
  end
end
local result = { kind, why, time[1], time[2], size, quiet(log, time, tonumber(ARGV[9])),
  doubted(log, time, tonumber(ARGV[9])) and 1 or 0 }
for i, one in ipairs(list or {}) do
  result[7 + i] = one
end
return result
