-- Puts a trajectory from a journal back: into an attempt that has none; a later attempt than the ledger's replaces it.
-- Returns restored, already, unknown for a job that the run does not have, or gone where Redis has lost the run meanwhile.
-- KEYS queued, running, generated, failed, cancelled, leases, job, trajectory, kind, changed, run
-- ARGV job_id, attempt, state, blob, worker, failure kind or '', milliseconds, prefix of kind sets
if redis.call('HEXISTS', KEYS[11], 'fingerprint') == 0 then return 'gone' end
local at = tonumber(redis.call('HGET', KEYS[7], 'attempt') or '1')
local attempt = tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[8]) == 1 then return 'already' end
if attempt < at then
  redis.call('SET', KEYS[8], ARGV[4])
  return 'already'
end
local known = 0
for i = 1, 5 do known = known + redis.call('SREM', KEYS[i], ARGV[1]) end
if known == 0 then return 'unknown' end
local kind = redis.call('HGET', KEYS[7], 'kind')
if kind and kind ~= '' then redis.call('SREM', ARGV[8] .. kind, ARGV[1]) end
redis.call('SET', KEYS[8], ARGV[4])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('SADD', ARGV[3] == 'generated' and KEYS[3] or KEYS[4], ARGV[1])
redis.call('HSET', KEYS[7], 'attempt', attempt, 'worker', ARGV[5], 'finished_ms', now, 'ms', ARGV[7], 'kind', ARGV[6],
           'token', '')
if ARGV[6] ~= '' then redis.call('SADD', KEYS[9], ARGV[1]) end
redis.call('ZADD', KEYS[10], now, ARGV[1])
redis.call('HSET', KEYS[11], 'restoring', 1)  -- until restored.lua has run
note(KEYS[7], 'restored', ARGV[5], ARGV[6])
return 'restored'
