-- Claims a ready stage: gives the worker a lease and a token. Returns run, exhausted, held, the run's control (paused,
-- cancelled), or the state of the stage.
-- KEYS stage, leases, run   ARGV member, token, worker, lease ms, delivery limit
local control = redis.call('HGET', KEYS[3], 'control')
if control then return {control} end
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'running' then
  local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if lease and tonumber(lease) > now then return {'held', redis.call('HGET', KEYS[1], 'worker')} end
  note(KEYS[1], 'lost', redis.call('HGET', KEYS[1], 'worker'), 'its lease expired')
elseif state ~= 'ready' then
  return {state or 'unknown'}
end
local deliveries = redis.call('HINCRBY', KEYS[1], 'deliveries', 1)
redis.call('HSET', KEYS[1], 'state', 'running', 'token', ARGV[2], 'worker', ARGV[3], 'started_ms', now)
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
note(KEYS[1], 'started', ARGV[3])
return {deliveries > tonumber(ARGV[5]) and 'exhausted' or 'run'}
