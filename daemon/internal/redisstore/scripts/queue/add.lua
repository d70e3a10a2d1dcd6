-- Does what is due, which without any worker nobody else does, and adds jobs, or finds those that do the same and that
-- nobody has begun.
--
-- ARGV   9… five for each job: id if it is new, build, path, priority (1 first, 3 last), '1' if only what is cached
--        and before them how many jobs may be open for one of priority 1, 2 and 3
-- Result 1 pairs of id and 1 if the job was there; fewer than asked for: there is no room
--        2 time, s
--        3 and µs
-- Tells   'w' if there is something new, and as a job does that becomes due.

tick()

local room = { tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]) }
local open = tonumber(redis.call('HGET', STATE, 'open')) or 0
local tickets, new = {}, 0

for i = 12, #ARGV, 5 do
  local job = { id = ARGV[i], build = ARGV[i + 1], path = ARGV[i + 2], priority = tonumber(ARGV[i + 3]), cached = ARGV[i + 4] == '1', attempt = 0, enqueued = now, asked = now }
  local there = load(redis.call('HGET', PATHS, path_of(job)) or nil)
  local is = there and there.state
  if is == 'ready' or is == 'later' or is == 'behind' then
    join(there, job.priority, job.cached)
    tickets[#tickets + 1], tickets[#tickets + 2] = there.id, 1
  elseif open >= room[job.priority] then
    break
  else
    if is == 'claimed' then
      follow(job, there)
    else
      put(job, (there and there.claimed or 0) + SETTLE)
    end
    save(job)
    redis.call('HSET', PATHS, path_of(job), job.id)
    open, new = open + 1, new + 1
    tickets[#tickets + 1], tickets[#tickets + 2] = job.id, 0
  end
end
if new > 0 then
  opened(new)
  redis.call('PUBLISH', CHANNEL, 'w')
end
return reply({ tickets })
