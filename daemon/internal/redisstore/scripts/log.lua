-- Prelude of the scripts on the log of one app.
--
-- The hash holds epoch, seq, nonce (of the last event), at (its time, ms), floor, floorat (ms), and one field 't:<tag>' per
-- tag that was ever marked: '<expired> <stale> <pending> <expire at> <at>', as tag.Record. Beside them, of the epoch: begun
-- (ms), lost ('1' if it began because there was no log), server (the run id of the Redis that it goes on in), moved ('1' if
-- it began because that was another one before, which may have known more) and past ('<epoch> <seq>;' for each epoch before
-- whose events up to seq are in the table); and members, a line '<name> <until, ms> <seq>' for each daemon that vouches for
-- what it holds: until then, and its clients were told of the events up to seq.
-- It is one key, so that eviction takes all of it or nothing. The stream holds the last events under the id
-- <epoch>-<seq>, by which gaps are healed.
--
-- Every number is below 2^53. An epoch begins with a seq that is larger than all before it: its number, which is the time
-- in microseconds. So records of different epochs are compared by seq.

local PAST = 16 -- epochs

local function int(n)
  return string.format('%.0f', n)
end

-- log_at returns what the hash says of the log, or nothing if there is no log.
local function log_at(hash)
  local f = redis.call('HMGET', hash, 'epoch', 'seq', 'nonce', 'at', 'begun', 'server', 'past', 'members', 'lost', 'moved')
  local log = { epoch = tonumber(f[1]), seq = tonumber(f[2]), nonce = f[3], at = tonumber(f[4]) or 0, begun = tonumber(f[5]) or 0,
    server = f[6] or '', past = f[7] or '', members = f[8] or '', lost = f[9] or '', moved = f[10] or '' }
  if log.epoch and log.seq and log.nonce then
    return log
  end
end

-- run_id names this life of this server; '' where it is not told.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
end

local function millis(time)
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- over returns when what began at that time and lasts for so long is over, ms. The time of day that it began at is cut off to
-- a millisecond: it may really have been nearly one later.
local function over(began, bound)
  return began + 1 + bound
end

-- begin starts an epoch that is larger than all that is known: the largest number of an epoch or a seq. The table stays.
local function begin(hash, time, known, lost, moved, past)
  local epoch = math.max(time[1] * 1000000 + time[2], known + 1)
  local log = { epoch = epoch, seq = epoch, nonce = '', at = 0, begun = millis(time), server = run_id(), past = past, members = '',
    lost = lost, moved = moved }
  redis.call('HSET', hash, 'epoch', int(epoch), 'seq', int(epoch), 'nonce', '', 'at', '0', 'begun', int(log.begun),
    'server', log.server, 'past', past, 'members', '', 'lost', lost, 'moved', moved)
  redis.call('HSETNX', hash, 'floor', '0')
  redis.call('HSETNX', hash, 'floorat', '0')
  return log
end

-- anew starts an epoch of which nothing before is known.
local function anew(hash, stream, time, known, lost)
  redis.call('DEL', hash, stream)
  return begin(hash, time, known, lost, '0', '')
end

-- go_on starts an epoch in which all before is known as the table has it. moved: '1' if that may not be all that there was.
local function go_on(hash, stream, time, log, known, moved)
  local past, n = int(log.epoch) .. ' ' .. int(log.seq) .. ';', 1
  for one in string.gmatch(log.past, '%d+ %d+;') do
    if n < PAST then
      past, n = past .. one, n + 1
    end
  end
  redis.call('DEL', stream)
  return begin(hash, time, math.max(known, log.epoch, log.seq), '0', moved, past)
end

-- moved says that the log is in another server, or in another life of it, than it was: some events may be missing, which
-- a daemon will bring.
local function moved(log)
  local id = run_id()
  return id ~= '' and log.server ~= id
end

-- quiet returns for how many ms there may be daemons that vouch for what they hold and are not among the members: those
-- of the epoch before.
local function quiet(log, time, bound)
  return math.max(0, math.min(bound, over(log.begun, bound) - millis(time)))
end

-- doubted says that the log may lack events that were acknowledged, which the daemons that know them bring back: it was
-- moved, and there may be some that have not come yet.
local function doubted(log, time, bound)
  return log.moved == '1' and quiet(log, time, bound) > 0
end

-- living returns the lines of the members whose time is not over, but for that of name, and that one's seq and time.
local function living(members, now, name)
  local lines, told, ends = '', nil, nil
  for one, till, seq in string.gmatch(members, '(%S+) (%d+) (%d+)\n') do
    if tonumber(till) <= now then
      -- it vouches for nothing any more
    elseif one == name then
      told, ends = seq, till
    else
      lines = lines .. one .. ' ' .. till .. ' ' .. seq .. '\n'
    end
  end
  return lines, told, ends
end

-- record reads a tag's field.
local function record(text)
  local a, b, c, d, e = string.match(text or '', '^(%d+) (%d+) (%d+) (-?%d+) (%d+)$')
  return tonumber(a) or 0, tonumber(b) or 0, tonumber(c) or 0, tonumber(d) or 0, tonumber(e) or 0
end
