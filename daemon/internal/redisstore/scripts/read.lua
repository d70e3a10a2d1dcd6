-- Returns an entry that is newer than the one judged, or else grants the lease.
--
-- KEYS   1 entry
--        2 lease
--        3 count of renders without a write
-- ARGV   1 version judged, 50 characters
--        2 '1' to ask for the lease
--        3 '1' to take it from whoever has it
--        4 holder
--        5 how long the lease is to live, ms
--        6 how many bytes of a value are returned; of a larger one only its size
-- Result 1 the stored value, or nil
--        2 '' or why a value that is there was not returned: 'format', 'foreign', 'large'
--        3 token
--        4 1 if the lease was granted
--        5 how long the lease lives that was granted or is held by another, ms; 0: there is none
--        6 if nobody has the lease and nobody is granted it until then: 1, it was released to be kept; 2, the key is
--          uncacheable; else 0
--        7 size of the value that was not returned because it is large; else 0
--        8 time, s
--        9 and µs

local time = redis.call('TIME')
local format, version, foreign = head(KEYS[1])
local held, left, holder = lease_of(KEYS[2])
local kept = holder == RELEASED and 1 or holder == UNCACHEABLE and 2 or 0
local token = next_token(version and math.max(held, token_of(version)) or held, time)

local unreadable = ''
if foreign then
  unreadable = 'foreign'
elseif version and newer(version, ARGV[1]) then
  if format == '1' then
    local size = redis.call('STRLEN', KEYS[1])
    if size > tonumber(ARGV[6]) then
      return { false, 'large', token, 0, left, kept, size, time[1], time[2] }
    end
    return { redis.call('GET', KEYS[1]), '', token, 0, left, kept, 0, time[1], time[2] }
  end
  unreadable = 'format'
end

local granted = 0
if ARGV[2] == '1' and (left == 0 or ARGV[3] == '1') then
  granted, left, kept = 1, tonumber(ARGV[5]), 0
  grant(KEYS[2], token, ARGV[4], left)
  if ARGV[3] == '1' then
    redis.call('DEL', KEYS[3])
  end
end
return { false, unreadable, token, granted, left, kept, 0, time[1], time[2] }
