-- Ends a restoration that put trajectories back: the stages start anew, curation at once if no job is pending.
-- Returns the number of pending jobs, or -1 where Redis has lost the run meanwhile.
-- KEYS run, queued, running, active, curate, train, evaluate   ARGV run_id, train state, evaluate state, number of jobs
if redis.call('HEXISTS', KEYS[1], 'fingerprint') == 0 then return -1 end
if redis.call('HGET', KEYS[5], 'state') == 'done' then redis.call('HINCRBY', KEYS[1], 'version', 1) end
redis.call('DEL', KEYS[5], KEYS[6], KEYS[7])
local pending = redis.call('SCARD', KEYS[2]) + redis.call('SCARD', KEYS[3])
redis.call('HSET', KEYS[5], 'state', pending > 0 and 'waiting' or 'ready', 'ready_ms', now)
redis.call('HSET', KEYS[6], 'state', ARGV[2])
redis.call('HSET', KEYS[7], 'state', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'bulk', 1)
redis.call('HDEL', KEYS[1], 'restoring')
if not redis.call('HGET', KEYS[1], 'control') then redis.call('SADD', KEYS[4], ARGV[1]) end
note(KEYS[1], 'restored', '', ARGV[4])
return pending
