-- Prepended to every script: one clock for the fleet (the server's), and a job's history.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

-- One line of JSON per event, appended; `attempt` and `worker` as they were when it happened.
local function note(job, event, worker, detail)
  local entry = cjson.encode({at = now, event = event, worker = worker or '', detail = detail or '',
                              attempt = tonumber(redis.call('HGET', job, 'attempt') or '1')})
  local history = redis.call('HGET', job, 'history')
  redis.call('HSET', job, 'history', history and (history .. '\n' .. entry) or entry)
end

