-- Prelude of the scripts on the queue of one app.
--
-- KEYS   1 jobs: a hash, JSON by id
--        2 paths: a hash, '<build>\n<path>' to the id of the newest job of it that is known
--        3 timers: a sorted set, ids by when something becomes due, ms
--        4 dead: a sorted set, ids by when they died, ms
--        5 state: a hash, how many jobs are open, the number of claims, the last token, and who leads
--        6 builds: a sorted set, builds by when they were last seen to have a process, ms
-- ARGV   1 what the streams of jobs that are ready begin with: <that><priority>:<build>
--        2 channel
--        3 how many dead jobs are kept
--        4 attempts before a job is dead
--        5 how long a job may wait, ms
--        6 how long a job that is done is kept, ms
--        7 the same of a dead one, ms
--        8 the least time between two claims of a path, ms
--        9… the script's own
--
-- The streams are named here and not among KEYS: which ones it takes is known only from the jobs. They have the hash tag of
-- the KEYS, and so their slot. Each has one consumer group; an entry is pending while its job is claimed. The lease of a
-- claim is in the job (token, until), by the time of Redis.
--
-- The next job of a path that is claimed, failed or given back is behind that one: after and before are the ids of each
-- other. asked is when a job was asked for last.
--
-- A job is ready (in a stream), later (due by its timer), behind (the next of a claimed one), claimed, done or dead.
-- Every state but behind has a timer: until when it waits, when it is due, when the claim ends, when it is forgotten.

local JOBS, PATHS, TIMERS, DEAD, STATE, BUILDS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local READY, CHANNEL = ARGV[1], ARGV[2]
local MAX_DEAD, ATTEMPTS, PATIENCE, KEEP, KEEP_DEAD, SETTLE =
  tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local GROUP = 'isrd'

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function int(n)
  return string.format('%.0f', n)
end

local function load(id)
  local text = id and redis.call('HGET', JOBS, id)
  return text and cjson.decode(text)
end

local function save(job)
  redis.call('HSET', JOBS, job.id, cjson.encode(job))
end

local function wake_at(job, due)
  redis.call('ZADD', TIMERS, int(due), job.id)
end

local function stream(job)
  return READY .. job.priority .. ':' .. job.build
end

local function path_of(job)
  return job.build .. '\n' .. job.path
end

-- push makes a job ready. The caller saves it.
local function push(job)
  job.state = 'ready'
  job.entry = redis.call('XADD', stream(job), '*', 'job', job.id)
  wake_at(job, now + PATIENCE)
end

-- pull takes a job out of its stream, and a stream that is empty out of Redis.
local function pull(job)
  if not job.entry then
    return
  end
  local from = stream(job)
  redis.pcall('XACK', from, GROUP, job.entry)
  redis.call('XDEL', from, job.entry)
  if redis.call('XLEN', from) == 0 then
    redis.call('DEL', from)
  end
  job.entry = nil
end

-- put makes a job ready, now or when it is due. The caller saves it.
local function put(job, due)
  if due <= now then
    push(job)
  else
    job.state, job.due = 'later', due
    wake_at(job, due)
  end
end

-- follow makes a job the next one of one that is claimed. The caller saves it.
local function follow(job, before)
  job.state, job.before, before.after = 'behind', before.id, job.id
  save(before)
end

-- join makes a job that nobody has begun do what is asked for too.
local function join(job, priority, cached)
  local changed = job.state == 'behind' or job.cached and not cached
  job.asked = now
  job.cached = job.cached and cached
  if priority < job.priority then
    if job.state == 'ready' then
      pull(job)
      job.priority = priority
      job.entry = redis.call('XADD', stream(job), '*', 'job', job.id)
    end
    job.priority, changed = priority, true
  end
  if changed then
    save(job)
  end
end

-- forget removes a job that is in no stream.
local function forget(job)
  redis.call('HDEL', JOBS, job.id)
  redis.call('ZREM', TIMERS, job.id)
  if redis.call('HGET', PATHS, path_of(job)) == job.id then
    redis.call('HDEL', PATHS, path_of(job))
  end
end

local function opened(n)
  return redis.call('HINCRBY', STATE, 'open', n)
end

-- ended lets the next job of the path go on, and tells those who wait.
local function ended(job)
  local after = load(job.after)
  if after and after.state == 'behind' then
    after.before = nil
    put(after, (job.claimed or 0) + SETTLE)
    save(after)
    redis.call('PUBLISH', CHANNEL, 'w')
  end
  job.after = nil
  opened(-1)
  redis.call('PUBLISH', CHANNEL, 'd')
end

-- complete ends a job well. If this attempt was claimed after the next job of the path was asked for the last time, as it
-- may be when others failed before, then it did what that is to do.
local function complete(job)
  job.state = 'done'
  wake_at(job, now + KEEP)
  local after = load(job.after)
  if not after or after.state ~= 'behind' or (after.asked or after.enqueued) >= job.claimed or (job.cached and not after.cached) then
    ended(job)
    return save(job)
  end
  job.after, after.before = nil, nil
  ended(job)
  save(job)
  after.by, after.claimed = job.by, job.claimed
  after.outcome, after.status, after.reason = job.outcome, job.status, job.reason
  complete(after)
end

-- die gives a job up; the oldest dead one makes room.
local function die(job, reason)
  job.state, job.reason = 'dead', reason
  wake_at(job, now + KEEP_DEAD)
  redis.call('ZADD', DEAD, int(now), job.id)
  ended(job)
  save(job)
  if redis.call('ZCARD', DEAD) > MAX_DEAD then
    local oldest = redis.call('ZPOPMIN', DEAD)
    local gone = load(oldest[1])
    if gone then
      forget(gone)
    end
  end
end

-- fail tries a job again when it is due, or gives it up.
local function fail(job, reason, due)
  if job.attempt >= ATTEMPTS then
    return die(job, reason)
  end
  job.reason = reason
  put(job, due)
  save(job)
  redis.call('PUBLISH', CHANNEL, 'w')
end

local TIMED = {
  ready = function(job)
    pull(job)
    die(job, 'nobody took it: no process of its build has offered itself, or all are busy')
  end,
  later = function(job)
    push(job)
    save(job)
    redis.call('PUBLISH', CHANNEL, 'w')
  end,
  claimed = function(job)
    pull(job)
    fail(job, 'its worker went away', now)
  end,
  done = forget,
  dead = function(job)
    redis.call('ZREM', DEAD, job.id)
    forget(job)
  end,
}

-- tick does what has become due, a bounded part of it, and returns when more will be, or ''.
local function tick()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', TIMERS, '-inf', int(now), 'LIMIT', 0, 64)) do
    local job = load(id)
    local timed = job and TIMED[job.state]
    if timed then
      timed(job)
    else
      redis.call('ZREM', TIMERS, id)
    end
  end
  local first = redis.call('ZRANGE', TIMERS, 0, 0, 'WITHSCORES')
  return first[2] or ''
end

-- reply is what Redis tells at the end: the time.
local function reply(list)
  list[#list + 1], list[#list + 2] = time[1], time[2]
  return list
end
