-- Returns failure kind and worker of each job, as one flat list.
-- ARGV prefix of job hashes, then job ids
local cells = {}
for i = 2, #ARGV do
  local job = redis.call('HMGET', ARGV[1] .. ARGV[i], 'kind', 'worker')
  cells[#cells + 1] = job[1] or ''
  cells[#cells + 1] = job[2] or ''
end
return cells
