-- Cancels an active run: unfinished jobs become cancelled, running stages ready again; every token is invalid.
-- The token 'cancelled' tells the worker of a running job to stop it; the delivery is not counted.
-- Returns {control, number of cancelled jobs}; {'cancelled', 0} if it was cancelled, {'ended', 0} if it is not active.
-- KEYS run, queued, running, cancelled, leases, changed, active, paused, stages   ARGV run_id, prefix of job hashes
if redis.call('HGET', KEYS[1], 'control') == 'cancelled' then return {'cancelled', 0} end
if redis.call('SISMEMBER', KEYS[7], ARGV[1]) == 0 then return {'ended', 0} end
for _, job in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  local key = ARGV[2] .. job
  note(key, 'cancelled', redis.call('HGET', key, 'worker'))
  redis.call('HSET', key, 'token', 'cancelled')
  redis.call('HINCRBY', key, 'deliveries', -1)
end
local count = redis.call('SCARD', KEYS[2]) + redis.call('SCARD', KEYS[3])
redis.call('SUNIONSTORE', KEYS[4], KEYS[4], KEYS[2], KEYS[3])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[5], KEYS[6])
for i = 9, #KEYS do
  if redis.call('HGET', KEYS[i], 'state') == 'running' then
    note(KEYS[i], 'cancelled', redis.call('HGET', KEYS[i], 'worker'))
    redis.call('HSET', KEYS[i], 'state', 'ready', 'ready_ms', now, 'token', '')
    redis.call('HINCRBY', KEYS[i], 'deliveries', -1)
  end
end
redis.call('HSET', KEYS[1], 'control', 'cancelled')
redis.call('HINCRBY', KEYS[1], 'bulk', 1)
redis.call('SREM', KEYS[7], ARGV[1])
redis.call('SREM', KEYS[8], ARGV[1])
note(KEYS[1], 'cancelled')
return {'cancelled', count}
