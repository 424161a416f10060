-- Makes a waiting stage ready whose input is complete: for the users that finish.lua and finish_stage.lua ran for may not.
-- Returns 1 if it did.
-- KEYS stage, run, queued, running   ARGV key of the stage before, "" for curation
if redis.call('HGET', KEYS[1], 'state') ~= 'waiting' or redis.call('HGET', KEYS[2], 'control') then return 0 end
if ARGV[1] == '' then
  if redis.call('SCARD', KEYS[3]) + redis.call('SCARD', KEYS[4]) > 0 then return 0 end
elseif redis.call('HGET', ARGV[1], 'state') ~= 'done' then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'ready', 'ready_ms', now)
return 1
