-- Ends a stage. Makes the next stage ready, or leaves that to wake.lua if the user may not, or ends the run. Requires the
-- current token.
-- KEYS stage, leases, next stage, active   ARGV member, token, state, result, error, run_id, 1 when there is a next stage
if redis.call('HGET', KEYS[1], 'state') ~= 'running' or redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return 'stale' end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'finished_ms', now, 'result', ARGV[4], 'error', ARGV[5], 'token', '')
note(KEYS[1], ARGV[3], redis.call('HGET', KEYS[1], 'worker'), ARGV[5])
if ARGV[3] == 'done' and ARGV[7] == '1' and redis.call('HGET', KEYS[3], 'state') == 'waiting' then
  if may('HSET', KEYS[3], 'state', 'ready') then redis.call('HSET', KEYS[3], 'state', 'ready', 'ready_ms', now) end
  return 'next'
end
redis.call('SREM', KEYS[4], ARGV[6])
return 'over'
