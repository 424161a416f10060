-- Requeues finished jobs under their next attempt and resets the stages; all jobs or none. Refused if cancelled.
-- KEYS queued, running, generated, failed, run, active, curate, train, evaluate, refused
-- ARGV prefix of job hashes, prefix of kind sets, train state, evaluate state, then job ids
if redis.call('HGET', KEYS[5], 'control') == 'cancelled' then return redis.error_reply('BUSY the run is cancelled') end
for i = 5, #ARGV do
  local job = ARGV[i]
  if redis.call('SISMEMBER', KEYS[3], job) + redis.call('SISMEMBER', KEYS[4], job) == 0 then return redis.error_reply('BUSY ' .. job) end
end
for i = 5, #ARGV do
  local job = ARGV[i]
  local key = ARGV[1] .. job
  redis.call('SREM', KEYS[3], job)
  redis.call('SREM', KEYS[4], job)
  redis.call('SADD', KEYS[1], job)
  local kind = redis.call('HGET', key, 'kind')
  if kind and kind ~= '' then redis.call('SREM', ARGV[2] .. kind, job) end
  note(key, 'resubmitted')
  redis.call('HINCRBY', key, 'attempt', 1)
  redis.call('HSET', key, 'deliveries', 0, 'token', '', 'kind', '')
end
redis.call('HINCRBY', KEYS[5], 'version', 1)
redis.call('HINCRBY', KEYS[5], 'bulk', 1)
note(KEYS[5], 'resubmitted', '', tostring(#ARGV - 4))
redis.call('DEL', KEYS[7], KEYS[8], KEYS[9], KEYS[10])
redis.call('HSET', KEYS[7], 'state', 'waiting')
redis.call('HSET', KEYS[8], 'state', ARGV[3])
redis.call('HSET', KEYS[9], 'state', ARGV[4])
redis.call('SADD', KEYS[6], redis.call('HGET', KEYS[5], 'run_id'))
return #ARGV - 4
