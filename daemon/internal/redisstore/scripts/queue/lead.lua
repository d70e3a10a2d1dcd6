-- Makes somebody the leader if nobody else is, or ends a term.
--
-- ARGV   9 who
--        10 for how long, ms; 0 ends it
-- Result 1 the term, or 0: another leads
--        2 for how many ms, this one or the other
--        3 time, s
--        4 and µs
-- Tells   'w' if a term was ended.

local is = redis.call('HMGET', STATE, 'leader', 'term', 'term_until')
local term, till, ttl = tonumber(is[2]) or 0, tonumber(is[3]) or 0, tonumber(ARGV[10])
if till > now and is[1] ~= ARGV[9] then
  return reply({ 0, till - now })
end
if ttl == 0 then
  if till > now then
    redis.call('HSET', STATE, 'term_until', '0')
    redis.call('PUBLISH', CHANNEL, 'w')
  end
  return reply({ 0, 0 })
end
if till <= now then
  term = math.max(term + 1, time[1] * 1000000 + time[2]) -- also after Redis has lost what was there
end
redis.call('HSET', STATE, 'leader', ARGV[9], 'term', int(term), 'term_until', int(now + ttl))
return reply({ term, ttl })
