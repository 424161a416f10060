-- Prepended to every script: the server's clock, which the whole fleet uses, the history of a job or stage, and what the
-- caller's Redis user may do.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- Appends one line of JSON per event, with the attempt and worker at that time.
local function note(job, event, worker, detail)
  local entry = cjson.encode({at = now, event = event, worker = worker or '', detail = detail or '',
                              attempt = tonumber(redis.call('HGET', job, 'attempt') or '1')})
  local history = redis.call('HGET', job, 'history')
  redis.call('HSET', job, 'history', history and (history .. '\n' .. entry) or entry)
end

-- Whether the caller's user may run a command; asking leaves no trace in ACL LOG. Redis before 7.0 cannot tell.
local function may(...) return not redis.acl_check_cmd or redis.acl_check_cmd(...) end

