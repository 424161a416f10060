-- Claims a job: gives the worker a lease and a token.
-- Returns {refusal} or {verdict, attempt, history, deliveries}; verdict is run, or exhausted above the delivery limit.
-- KEYS queued, running, generated, failed, cancelled, leases, job, run, changed
-- ARGV job_id, token, worker, lease ms, delivery limit
if redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 1 or redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 1 then
  return {'terminal'}
end
local control = redis.call('HGET', KEYS[8], 'control')
if control then return {control} end
if redis.call('SISMEMBER', KEYS[5], ARGV[1]) == 1 then return {'cancelled'} end
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then
  local lease = redis.call('ZSCORE', KEYS[6], ARGV[1])
  local holder = redis.call('HGET', KEYS[7], 'worker')
  if lease and tonumber(lease) > now then return {'held', holder} end
  note(KEYS[7], 'lost', holder, 'its lease expired')
elseif redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return {'unknown'}
end
redis.call('HSETNX', KEYS[7], 'attempt', 1)
local deliveries = redis.call('HINCRBY', KEYS[7], 'deliveries', 1)
redis.call('HSET', KEYS[7], 'token', ARGV[2], 'worker', ARGV[3], 'started_ms', now)
redis.call('SMOVE', KEYS[1], KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[6], now + ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[9], now, ARGV[1])
note(KEYS[7], 'started', ARGV[3])
local verdict = deliveries > tonumber(ARGV[5]) and 'exhausted' or 'run'
return {verdict, redis.call('HGET', KEYS[7], 'attempt'), redis.call('HGET', KEYS[7], 'history'), deliveries}
