-- Does what is due, and claims jobs that are ready.
--
-- ARGV   9 who claims, for people
--        10 how long the claim lives, ms
--        11 how many jobs at most
--        12 the leader's term, or '0': there is no leader
--        13… pairs of build and how many of it at most; '' are jobs for any build
-- Result 1 jobs, JSON each
--        2 in how many ms something becomes due, or -1
--        3 jobs that are open
--        4 jobs that are dead
--        5 1 if the term is over, and nothing was claimed
--        6 time, s
--        7 and µs
-- Tells   as a job does that becomes due.

local free = {}
for i = 13, #ARGV, 2 do
  free[#free + 1] = { build = ARGV[i], n = tonumber(ARGV[i + 1]) }
  if ARGV[i] ~= '' then
    redis.call('ZADD', BUILDS, int(now), ARGV[i])
  end
end

-- next_of returns the first job of a stream that is there, or nothing.
local function next_of(from)
  while redis.call('EXISTS', from) == 1 do
    local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, GROUP, 'COUNT', 1, 'STREAMS', from, '>')
    if read and read.err then
      redis.call('XGROUP', 'CREATE', from, GROUP, '0')
      read = redis.call('XREADGROUP', 'GROUP', GROUP, GROUP, 'COUNT', 1, 'STREAMS', from, '>')
    end
    if not read then
      return
    end
    local entry, fields = read[1][2][1][1], read[1][2][1][2]
    local job = fields and load(fields[2])
    if job and job.state == 'ready' and job.entry == entry then
      return job
    end
    redis.call('XACK', from, GROUP, entry) -- the job is gone
    redis.call('XDEL', from, entry)
  end
end

-- find returns the job whose turn it is, by priority and then by build, beginning with another build each time. The steps
-- from one claim of a low priority to the next, 4 and 16, may be rounds of the builds: so it moves on with every sixteen.
local function find(turn)
  local order = turn % 16 == 15 and { 3, 2, 1 } or turn % 4 == 3 and { 2, 1, 3 } or { 1, 2, 3 }
  local first = turn + math.floor(turn / 16)
  for _, priority in ipairs(order) do
    for i = 1, #free do
      local f = free[(first + i) % #free + 1]
      local job = f.n > 0 and next_of(READY .. priority .. ':' .. f.build)
      if job then
        f.n = f.n - 1
        return job
      end
    end
  end
end

local due = tick()
local jobs, over = {}, 0
if ARGV[12] ~= '0' then
  local leads = redis.call('HMGET', STATE, 'term', 'term_until')
  if leads[1] ~= ARGV[12] or (tonumber(leads[2]) or 0) <= now then
    over = 1
  end
end
local limit = over == 1 and 0 or tonumber(ARGV[11])
while #jobs < limit do
  local turn = tonumber(redis.call('HGET', STATE, 'turn')) or 0
  local job = find(turn)
  if not job then
    break
  end
  redis.call('HSET', STATE, 'turn', int(turn + 1))
  local token = math.max((tonumber(redis.call('HGET', STATE, 'token')) or 0) + 1, time[1] * 1000000 + time[2])
  redis.call('HSET', STATE, 'token', int(token))
  job.state, job.token, job.by, job.claimed, job.attempt = 'claimed', int(token), ARGV[9], now, job.attempt + 1
  wake_at(job, now + tonumber(ARGV[10]))
  save(job)
  jobs[#jobs + 1] = cjson.encode(job)
end
return reply({ jobs, due == '' and -1 or math.max(tonumber(due) - now, 1), tonumber(redis.call('HGET', STATE, 'open')) or 0,
  redis.call('ZCARD', DEAD), over })
