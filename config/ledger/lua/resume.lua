-- Lets a paused or cancelled run go on. Its cancelled jobs are queued again, or, with ARGV[2] = 1, left out: then
-- curation takes what there is, and the jobs can still be resumed when the run has ended.
-- Returns {word, number of jobs queued again}; word is resumed, going (nothing to do), ended or empty (nothing to curate).
-- KEYS run, queued, running, generated, failed, cancelled, active, paused, curate, train, evaluate
-- ARGV run_id, 1 to leave cancelled jobs out, train state, evaluate state
local control = redis.call('HGET', KEYS[1], 'control')
local active = redis.call('SISMEMBER', KEYS[7], ARGV[1]) == 1
local count = redis.call('SCARD', KEYS[6])
if not control and active then return {'going', 0} end
if not control and (count == 0 or ARGV[2] == '1') then return {'ended', 0} end
if control == 'paused' then count = 0 end
if control == 'cancelled' and ARGV[2] == '1' and count > 0 then
  if redis.call('SCARD', KEYS[4]) + redis.call('SCARD', KEYS[5]) == 0 then return {'empty', 0} end
  count = 0
end
if count > 0 then
  if redis.call('HGET', KEYS[9], 'state') ~= 'waiting' then  -- curated without them: the dataset gets another version
    redis.call('HINCRBY', KEYS[1], 'version', 1)
    redis.call('DEL', KEYS[9], KEYS[10], KEYS[11])
    redis.call('HSET', KEYS[9], 'state', 'waiting')
    redis.call('HSET', KEYS[10], 'state', ARGV[3])
    redis.call('HSET', KEYS[11], 'state', ARGV[4])
  end
  redis.call('SUNIONSTORE', KEYS[2], KEYS[2], KEYS[6])
  redis.call('DEL', KEYS[6])
end
if redis.call('SCARD', KEYS[2]) + redis.call('SCARD', KEYS[3]) == 0 and redis.call('HGET', KEYS[9], 'state') == 'waiting' then
  redis.call('HSET', KEYS[9], 'state', 'ready', 'ready_ms', now)
end
redis.call('HDEL', KEYS[1], 'control')
redis.call('HINCRBY', KEYS[1], 'bulk', 1)
redis.call('SADD', KEYS[7], ARGV[1])
redis.call('SREM', KEYS[8], ARGV[1])
note(KEYS[1], 'resumed')
return {'resumed', count}
