-- Prelude of the scripts that know entries and leases: what a stored entry and a lease say.
--
--   isrd/<format, 1 digit> <version, 50 characters> <created, 16 digits, ms since 1970>\n
--
-- It is the same in every format, so that any daemon can tell which of two entries is the newer one, also one that it
-- cannot read.

local LINE = 75

-- head returns format and version of the entry, or nothing and whether something else is there instead.
local function head(key)
  local line = redis.pcall('GETRANGE', key, 0, LINE - 1)
  if type(line) == 'table' then -- an error: not a string
    return nil, nil, true
  end
  local format, version = string.match(line, '^isrd/(%d) (%x+%.%x+%.%x+) %d+\n$')
  if not format or #line ~= LINE or #version ~= 50 then
    return nil, nil, line ~= ''
  end
  return format, version, false
end

-- newer compares byte by byte: `<` on strings follows the locale that Redis was started with, and a version is more
-- than a Lua number holds.
local function newer(a, b)
  for i = 1, 50 do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then
      return x > y
    end
  end
  return false
end

-- token_of is exact: tokens are microseconds, far below 2^53.
local function token_of(version)
  return tonumber(string.sub(version, 35), 16)
end

-- What stands in a holder's place while nobody has the lease and nobody is granted it.
local RELEASED, UNCACHEABLE = '\0released', '\0uncacheable'

-- lease_of returns token, remaining milliseconds and holder of the lease that lives at key, or 0, 0 and ''.
-- A lease is stored as '<token> <holder>', with the time it lives.
local function lease_of(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'string' then
    return 0, 0, ''
  end
  local token, holder = string.match(value, '^(%d+) (.*)$')
  local left = redis.call('PTTL', key)
  if not token or left <= 0 then
    return 0, 0, ''
  end
  return tonumber(token), left, holder
end

-- is_lease says whether what lease_of returned is somebody's lease, with this token.
local function is_lease(held, holder, token)
  return held ~= 0 and string.format('%.0f', held) == token and holder ~= RELEASED and holder ~= UNCACHEABLE
end

-- grant makes token and holder the lease, for so many milliseconds.
local function grant(key, token, holder, ttl)
  redis.call('SET', key, string.format('%.0f', token) .. ' ' .. holder, 'PX', ttl)
end

-- next_token is larger than the previous one, and no less than the time in microseconds.
local function next_token(previous, time)
  return math.max(previous + 1, time[1] * 1000000 + time[2])
end
