-- Returns jobs.
--
-- ARGV   9 ids, all or dead
--        10… ids; or where to begin and how many
-- Result 1 jobs, JSON each
--        2 where to go on; '' at the end
--        3 time, s
--        4 and µs

local texts, from = {}, ''
local function add(text)
  if text then
    texts[#texts + 1] = text
  end
end
if ARGV[9] == 'ids' then
  for i = 10, #ARGV do
    add(redis.call('HGET', JOBS, ARGV[i]))
  end
elseif ARGV[9] == 'dead' then
  local first, n = tonumber(ARGV[10]), tonumber(ARGV[11])
  local ids = redis.call('ZREVRANGE', DEAD, first, first + n - 1)
  for _, id in ipairs(ids) do
    add(redis.call('HGET', JOBS, id))
  end
  from = #ids == n and int(first + n) or ''
else
  local page = redis.call('HSCAN', JOBS, ARGV[10], 'COUNT', ARGV[11])
  for i = 2, #page[2], 2 do
    add(page[2][i])
  end
  from = page[1] ~= '0' and page[1] or ''
end
return reply({ texts, from })
