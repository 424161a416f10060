-- Requeues all jobs and stages whose lease has expired; returns their members: job ids, or "stage:NAME".
-- KEYS leases, running, queued, changed   ARGV prefix of job hashes, prefix of stage hashes, maximum number
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
for _, member in ipairs(expired) do
  redis.call('ZREM', KEYS[1], member)
  local stage = string.match(member, '^stage:(.+)$')
  if stage then
    local key = ARGV[2] .. stage
    if redis.call('HGET', key, 'state') == 'running' then
      note(key, 'lost', redis.call('HGET', key, 'worker'), 'its lease expired')
      redis.call('HSET', key, 'state', 'ready', 'ready_ms', now, 'token', '')
    end
  elseif redis.call('SMOVE', KEYS[2], KEYS[3], member) == 1 then
    local key = ARGV[1] .. member
    note(key, 'lost', redis.call('HGET', key, 'worker'), 'its lease expired')
    redis.call('HSET', key, 'token', '')
    redis.call('ZADD', KEYS[4], now, member)
  end
end
return expired
