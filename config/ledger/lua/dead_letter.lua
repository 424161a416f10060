-- Sets a value aside: the newest are kept, all are counted.
-- KEYS dead letters, their count
-- ARGV place, reason, start of the value, number kept
redis.call('LPUSH', KEYS[1], cjson.encode({now / 1000, ARGV[1], ARGV[2], ARGV[3]}))
redis.call('LTRIM', KEYS[1], 0, tonumber(ARGV[4]) - 1)
redis.call('INCR', KEYS[2])
