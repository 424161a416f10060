-- Makes a finished stage ready again; the stages after it wait. A spec replaces the run's, under a new version.
-- KEYS active, run, stage, following stages   ARGV run_id, spec or ""
local state = redis.call('HGET', KEYS[3], 'state')
if state ~= 'failed' and state ~= 'done' then return state or 'unknown' end
note(KEYS[3], 'resubmitted')
redis.call('HSET', KEYS[3], 'state', 'ready', 'ready_ms', now, 'deliveries', 0, 'token', '', 'error', '', 'result', '')
for i = 4, #KEYS do
  if redis.call('HGET', KEYS[i], 'state') ~= 'skipped' then
    redis.call('HSET', KEYS[i], 'state', 'waiting', 'deliveries', 0, 'error', '', 'result', '')
  end
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[2], 'spec', ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'version', 1)
end
redis.call('SADD', KEYS[1], ARGV[1])
return 'ready'
