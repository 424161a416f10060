-- Makes a finished stage ready again, unless the run is cancelled; the stages after it wait. A spec replaces the run's,
-- under a new version; then a trained adapter and its report are kept under the old version.
-- KEYS active, run, adapters, train, evaluate, adapter files, report files, stage, following stages
-- ARGV run_id, spec or ""
if redis.call('HGET', KEYS[2], 'control') == 'cancelled' then return 'cancelled' end
local state = redis.call('HGET', KEYS[8], 'state')
if state ~= 'failed' and state ~= 'done' then return state or 'unknown' end
if ARGV[2] ~= '' then
  local version = redis.call('HGET', KEYS[2], 'version')
  if redis.call('HGET', KEYS[4], 'state') == 'done' then
    redis.call('HSET', KEYS[3], version .. ':spec', redis.call('HGET', KEYS[2], 'spec'),
               version .. ':train', redis.call('HGET', KEYS[4], 'result'))
    if redis.call('EXISTS', KEYS[6]) == 1 then redis.call('RENAME', KEYS[6], KEYS[6] .. '@v' .. version) end
    if redis.call('HGET', KEYS[5], 'state') == 'done' then
      redis.call('HSET', KEYS[3], version .. ':evaluate', redis.call('HGET', KEYS[5], 'result'))
      if redis.call('EXISTS', KEYS[7]) == 1 then redis.call('RENAME', KEYS[7], KEYS[7] .. '@v' .. version) end
    end
  end
  redis.call('HSET', KEYS[2], 'spec', ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'version', 1)
end
note(KEYS[8], 'resubmitted')
redis.call('HSET', KEYS[8], 'state', 'ready', 'ready_ms', now, 'deliveries', 0, 'token', '', 'error', '', 'result', '')
for i = 9, #KEYS do
  if redis.call('HGET', KEYS[i], 'state') ~= 'skipped' then
    redis.call('HSET', KEYS[i], 'state', 'waiting', 'deliveries', 0, 'error', '', 'result', '')
  end
end
redis.call('SADD', KEYS[1], ARGV[1])
return 'ready'
