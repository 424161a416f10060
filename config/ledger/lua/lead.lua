-- Becomes or stays the fleet's only reconciler; returns 0 if another worker is.   KEYS reconciler   ARGV worker, ms
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
