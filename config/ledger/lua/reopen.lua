-- Makes a finished stage ready again; the stages after it wait.
-- KEYS active, stage, following stages   ARGV run_id
local state = redis.call('HGET', KEYS[2], 'state')
if state ~= 'failed' and state ~= 'done' then return state or 'unknown' end
note(KEYS[2], 'resubmitted')
redis.call('HSET', KEYS[2], 'state', 'ready', 'ready_ms', now, 'deliveries', 0, 'token', '', 'error', '', 'result', '')
for i = 3, #KEYS do
  if redis.call('HGET', KEYS[i], 'state') ~= 'skipped' then
    redis.call('HSET', KEYS[i], 'state', 'waiting', 'deliveries', 0, 'error', '', 'result', '')
  end
end
redis.call('SADD', KEYS[1], ARGV[1])
return 'ready'
