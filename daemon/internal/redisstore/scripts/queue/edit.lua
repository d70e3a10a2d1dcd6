-- Makes jobs due that have failed or are dead, or removes jobs that are not claimed.
--
-- ARGV   9 retry or drop
--        10… ids
-- Result 1 how many there were
--        2 time, s
--        3 and µs
-- Tells   'w' or 'd'.

-- revive makes a dead job due; not beside another of its path.
local function revive(job)
  redis.call('ZREM', DEAD, job.id)
  local there = load(redis.call('HGET', PATHS, path_of(job)) or nil)
  local is = there and there.state
  if is == 'ready' or is == 'later' or is == 'behind' then
    join(there, job.priority, job.cached)
    forget(job) -- that one does what it was to do
    return 1
  end
  job.attempt, job.asked = 0, now
  opened(1)
  redis.call('HSET', PATHS, path_of(job), job.id)
  if is == 'claimed' then
    redis.call('ZREM', TIMERS, job.id)
    follow(job, there)
  else
    push(job)
  end
  save(job)
  return 1
end

local EDIT = {
  retry = function(job)
    if job.state == 'dead' then
      return revive(job)
    elseif job.state ~= 'later' or job.attempt == 0 then
      return 0
    end
    push(job)
    save(job)
    return 1
  end,
  drop = function(job)
    if job.state == 'claimed' then
      return 0
    end
    pull(job)
    redis.call('ZREM', DEAD, job.id)
    if job.state ~= 'dead' and job.state ~= 'done' then
      ended(job)
    end
    forget(job)
    local before = job.state == 'behind' and load(job.before)
    if before and before.after == job.id then -- who asks now is to find that one
      before.after = nil
      save(before)
      redis.call('HSET', PATHS, path_of(job), before.id)
    end
    return 1
  end,
}

local n = 0
for i = 10, #ARGV do
  local job = load(ARGV[i])
  n = n + (job and EDIT[ARGV[9]](job) or 0)
end
if n > 0 then
  redis.call('PUBLISH', CHANNEL, ARGV[9] == 'retry' and 'w' or 'd')
end
return reply({ n })
