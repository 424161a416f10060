-- Returns state, attempt, worker, failure kind, finish time and last change of each job, as one text with NUL between them.
-- KEYS running, generated, failed, cancelled, changed   ARGV prefix of job hashes, then job ids
local states = {'running', 'generated', 'failed', 'cancelled'}
local cells = {}
for i = 2, #ARGV do
  local state = 'queued'
  for n, name in ipairs(states) do
    if redis.call('SISMEMBER', KEYS[n], ARGV[i]) == 1 then state = name end
  end
  local job = redis.call('HMGET', ARGV[1] .. ARGV[i], 'attempt', 'worker', 'kind', 'finished_ms')
  cells[#cells + 1] = state
  for n = 1, 4 do cells[#cells + 1] = job[n] or '' end
  cells[#cells + 1] = redis.call('ZSCORE', KEYS[5], ARGV[i]) or ''
end
return table.concat(cells, '\0')  -- redis-py parses one text faster than six cells a job
