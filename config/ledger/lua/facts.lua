-- How jobs ended and where: kind and worker of each, flat.
-- ARGV prefix of job hashes, then job ids
local found = {}
for i = 2, #ARGV do
  local job = redis.call('HMGET', ARGV[1] .. ARGV[i], 'kind', 'worker')
  found[#found + 1] = job[1] or ''
  found[#found + 1] = job[2] or ''
end
return found
