-- Returns the builds that have a process.
--
-- ARGV   9 for how long one counts as having one, ms
-- Result 1 builds
--        2 time, s
--        3 and µs

redis.call('ZREMRANGEBYSCORE', BUILDS, '-inf', int(now - tonumber(ARGV[9])))
return reply({ redis.call('ZRANGE', BUILDS, 0, -1) })
