-- Stores a trajectory: the first of an attempt wins, a second one changes nothing. The last job makes curation ready; if
-- the user may not start a curation, wake.lua does.
-- A trajectory that completes after its run was cancelled is stored as well, until the run goes on without it.
-- KEYS queued, running, generated, failed, cancelled, leases, job, trajectory, curate, rate, by_worker, kind, refused,
--      lost_calls, run, changed
-- ARGV job_id, attempt, state, blob, worker, failure kind or '', milliseconds, token of the claim or '', teacher, calls lost by its server
if redis.call('EXISTS', KEYS[8]) == 1 then return 'already' end
if (redis.call('HGET', KEYS[7], 'attempt') or '1') ~= ARGV[2] then return 'stale' end
-- After its lease has expired a worker may still store a completed trajectory, but not a failure: sleep may have caused it.
if ARGV[3] == 'failed' and (ARGV[8] or '') ~= '' and redis.call('HGET', KEYS[7], 'token') ~= ARGV[8] then return 'stale' end
local from = redis.call('SREM', KEYS[1], ARGV[1]) + redis.call('SREM', KEYS[2], ARGV[1])
local cancelled = redis.call('HGET', KEYS[15], 'control') == 'cancelled'
if from == 0 and ARGV[3] == 'generated' and cancelled then
  from = redis.call('SREM', KEYS[5], ARGV[1])
end
if from == 0 then return 'unknown' end
redis.call('ZADD', KEYS[16], now, ARGV[1])
redis.call('SETNX', KEYS[8], ARGV[4])  -- a user who may only do this cannot change a trajectory
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('SADD', ARGV[3] == 'generated' and KEYS[3] or KEYS[4], ARGV[1])
redis.call('HSET', KEYS[7], 'worker', ARGV[5], 'finished_ms', now, 'ms', ARGV[7], 'kind', ARGV[6])
if ARGV[6] ~= '' then redis.call('SADD', KEYS[12], ARGV[1]) end
note(KEYS[7], ARGV[3], ARGV[5], ARGV[6])
if ARGV[3] == 'generated' then redis.call('DEL', KEYS[13]) end  -- a worker serves the run's model
redis.call('HINCRBY', KEYS[10], math.floor(now / 10000), 1)
redis.call('HINCRBY', KEYS[11], ARGV[5] .. '|' .. ARGV[3], 1)
if ARGV[10] ~= '0' then redis.call('HINCRBY', KEYS[14], ARGV[9], ARGV[10]) end
if cancelled or redis.call('SCARD', KEYS[1]) + redis.call('SCARD', KEYS[2]) > 0 then return 'stored' end
if redis.call('HGET', KEYS[9], 'state') == 'waiting' and may('HSET', KEYS[9], 'state', 'ready') then
  redis.call('HSET', KEYS[9], 'state', 'ready', 'ready_ms', now)
end
return 'last'
