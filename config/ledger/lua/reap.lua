-- Requeues all jobs and stages whose lease has expired, of those that the user may requeue; returns their members: job ids,
-- or "stage:NAME".
-- KEYS leases, running, queued, changed   ARGV prefix of job hashes, prefix of stage hashes, maximum number
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
local jobs = may('SMOVE', KEYS[2], KEYS[3], '')
local reaped = {}
for _, member in ipairs(expired) do
  local stage = string.match(member, '^stage:(.+)$')
  local key = stage and ARGV[2] .. stage or ARGV[1] .. member
  if (stage and may('HSET', key, 'token', '')) or (not stage and jobs) then
    redis.call('ZREM', KEYS[1], member)
    reaped[#reaped + 1] = member
    if stage then
      if redis.call('HGET', key, 'state') == 'running' then
        note(key, 'lost', redis.call('HGET', key, 'worker'), 'its lease expired')
        redis.call('HSET', key, 'state', 'ready', 'ready_ms', now, 'token', '')
      end
    elseif redis.call('SMOVE', KEYS[2], KEYS[3], member) == 1 then
      note(key, 'lost', redis.call('HGET', key, 'worker'), 'its lease expired')
      redis.call('HSET', key, 'token', '')
      redis.call('ZADD', KEYS[4], now, member)
    end
  end
end
return reaped
