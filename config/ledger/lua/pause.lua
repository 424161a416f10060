-- Pauses an active run: what is in flight ends, nothing else starts. Returns its control, or 'ended' if not active.
-- KEYS run, active, paused   ARGV run_id
local control = redis.call('HGET', KEYS[1], 'control')
if control then return control end
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return 'ended' end
redis.call('HSET', KEYS[1], 'control', 'paused')
redis.call('SADD', KEYS[3], ARGV[1])
note(KEYS[1], 'paused')
return 'paused'
