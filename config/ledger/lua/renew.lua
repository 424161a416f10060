-- Renews the leases of a live worker; returns the members whose token or lease is gone.
-- KEYS leases   ARGV lease ms, then member, its hash key, token for each
local lost = {}
for i = 2, #ARGV, 3 do
  if redis.call('HGET', ARGV[i + 1], 'token') == ARGV[i + 2] and redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
