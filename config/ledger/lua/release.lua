-- Requeues an unfinished job. The delivery is not counted, unless ARGV[4] is 1. Requires the current token.
-- KEYS queued, running, leases, job, changed   ARGV job_id, token, reason, 1 when the delivery counts
if redis.call('HGET', KEYS[4], 'token') ~= ARGV[2] then return 0 end
if redis.call('SMOVE', KEYS[2], KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[5], now, ARGV[1])
redis.call('HSET', KEYS[4], 'token', '')
if ARGV[4] ~= '1' then redis.call('HINCRBY', KEYS[4], 'deliveries', -1) end
note(KEYS[4], 'handed_back', redis.call('HGET', KEYS[4], 'worker'), ARGV[3])
return 1
