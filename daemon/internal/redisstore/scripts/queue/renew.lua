-- Lets claims live on.
--
-- ARGV   9 how long from now, ms
--        10… pairs of id and token
-- Result 1 for each 1 if it lives on
--        2 time, s
--        3 and µs

local lives = {}
for i = 10, #ARGV, 2 do
  local job = load(ARGV[i])
  local is = job and job.state == 'claimed' and job.token == ARGV[i + 1]
  if is then
    wake_at(job, now + tonumber(ARGV[9]))
  end
  lives[#lives + 1] = is and 1 or 0
end
return reply({ lives })
