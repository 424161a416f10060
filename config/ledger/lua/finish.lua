-- Stores a trajectory: the first of an attempt wins, a second one changes nothing. The last job makes curation ready.
-- KEYS queued, running, generated, failed, leases, job, trajectory, curate, rate, by_worker, kind, refused, lost_calls
-- ARGV job_id, attempt, state, blob, worker, failure kind or '', milliseconds, token of the claim or '', teacher, calls lost by its server
if redis.call('EXISTS', KEYS[7]) == 1 then return 'already' end
if (redis.call('HGET', KEYS[6], 'attempt') or '1') ~= ARGV[2] then return 'stale' end
-- After its lease has expired a worker may still store a completed trajectory, but not a failure: sleep may have caused it.
if ARGV[3] == 'failed' and (ARGV[8] or '') ~= '' and redis.call('HGET', KEYS[6], 'token') ~= ARGV[8] then return 'stale' end
if redis.call('SREM', KEYS[1], ARGV[1]) + redis.call('SREM', KEYS[2], ARGV[1]) == 0 then return 'unknown' end
redis.call('SET', KEYS[7], ARGV[4])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('SADD', ARGV[3] == 'generated' and KEYS[3] or KEYS[4], ARGV[1])
redis.call('HSET', KEYS[6], 'worker', ARGV[5], 'finished_ms', now, 'ms', ARGV[7], 'kind', ARGV[6])
if ARGV[6] ~= '' then redis.call('SADD', KEYS[11], ARGV[1]) end
note(KEYS[6], ARGV[3], ARGV[5], ARGV[6])
if ARGV[3] == 'generated' then redis.call('DEL', KEYS[12]) end  -- a worker serves the run's model
redis.call('HINCRBY', KEYS[9], math.floor(now / 10000), 1)
redis.call('HINCRBY', KEYS[10], ARGV[5] .. '|' .. ARGV[3], 1)
if ARGV[10] ~= '0' then redis.call('HINCRBY', KEYS[13], ARGV[9], ARGV[10]) end
if redis.call('SCARD', KEYS[1]) + redis.call('SCARD', KEYS[2]) > 0 then return 'stored' end
if redis.call('HGET', KEYS[8], 'state') == 'waiting' then redis.call('HSET', KEYS[8], 'state', 'ready', 'ready_ms', now) end
return 'last'
