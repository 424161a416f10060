-- Makes an unfinished stage ready again; the delivery is not counted. Requires the current token.
-- KEYS stage, leases   ARGV member, token, reason
if redis.call('HGET', KEYS[1], 'state') ~= 'running' or redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'ready', 'ready_ms', now, 'token', '')
redis.call('HINCRBY', KEYS[1], 'deliveries', -1)
note(KEYS[1], 'handed_back', redis.call('HGET', KEYS[1], 'worker'), ARGV[3])
return 1
