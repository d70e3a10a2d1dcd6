-- Ends a claim.
--
-- ARGV   9 id
--        10 token
--        11 what becomes of the job: done, again, back (nobody has begun) or dead
--        12 outcome
--        13 status of the response
--        14 reason
--        15 when it is tried again: in how many ms
-- Result 1 1 if the claim was there
--        2 time, s
--        3 and µs
-- Tells   'd' if the job has ended, 'w' if one has become ready.

local job = load(ARGV[9])
if not job or job.state ~= 'claimed' or job.token ~= ARGV[10] then
  return reply({ 0 })
end
pull(job)
job.outcome, job.status, job.reason = tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14]
if ARGV[11] == 'done' then
  complete(job)
elseif ARGV[11] == 'dead' then
  die(job, ARGV[14])
elseif ARGV[11] == 'back' then
  job.attempt = job.attempt - 1
  push(job)
  save(job)
  redis.call('PUBLISH', CHANNEL, 'w')
else
  local delay, due = tonumber(ARGV[15]), now
  if delay > 0 then -- else nobody has begun to render
    due = math.max(now + delay, job.claimed + SETTLE)
  end
  fail(job, ARGV[14], due)
end
return reply({ 1 })
