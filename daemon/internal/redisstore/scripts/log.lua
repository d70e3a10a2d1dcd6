-- Prelude of append.lua and load.lua: the log of one app.
--
-- The hash holds epoch, seq, nonce (of the last event), at (its time, ms), floor, and one field 't:<tag>' per tag that
-- was ever marked: '<expired> <stale> <pending> <expire at>', as tag.Record. It is one key, so that eviction takes all of
-- it or nothing. The stream holds the last events under the id <epoch>-<seq>, by which gaps are healed.
-- Every number is below 2^53: epochs are microseconds when they begin.

local function int(n)
  return string.format('%.0f', n)
end

-- begin starts the log anew, in an epoch that is larger than any that is known.
local function begin(hash, stream, time, known)
  local epoch = math.max(time[1] * 1000000 + time[2], known + 1)
  redis.call('DEL', hash, stream)
  redis.call('HSET', hash, 'epoch', int(epoch), 'seq', '0', 'nonce', '', 'at', '0', 'floor', '0')
  return epoch
end
