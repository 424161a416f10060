-- Returns state, attempt, worker, failure kind and finish time of each job, as one flat list.
-- KEYS running, generated, failed, cancelled   ARGV prefix of job hashes, then job ids
local states = {'running', 'generated', 'failed', 'cancelled'}
local cells = {}
for i = 2, #ARGV do
  local state = 'queued'
  for n, key in ipairs(KEYS) do
    if redis.call('SISMEMBER', key, ARGV[i]) == 1 then state = states[n] end
  end
  local job = redis.call('HMGET', ARGV[1] .. ARGV[i], 'attempt', 'worker', 'kind', 'finished_ms')
  cells[#cells + 1] = state
  for n = 1, 4 do cells[#cells + 1] = job[n] or '' end
end
return cells
