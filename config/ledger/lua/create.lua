-- Makes a run visible; its prompts and its queued set are already written. Returns 0 if the submit lock is lost, or the run
-- is there.
-- KEYS run, runs, active, curate, train, evaluate, submit lock
-- ARGV run_id, spec, fingerprint, total, train state, evaluate state, lock token
if redis.call('GET', KEYS[7]) ~= ARGV[7] or redis.call('HEXISTS', KEYS[1], 'fingerprint') == 1 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'run_id', ARGV[1], 'spec', ARGV[2], 'fingerprint', ARGV[3], 'total', ARGV[4],
           'created_ms', now, 'version', 1)
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[4], 'state', 'waiting')
redis.call('HSET', KEYS[5], 'state', ARGV[5])
redis.call('HSET', KEYS[6], 'state', ARGV[6])
return 1
