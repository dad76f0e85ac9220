-- Starts an epoch. KEYS[1] the epoch. ARGV: the value that the caller found there, "" for none; the new epoch. An epoch that another caller
-- has started in the meantime stays.
if (redis.call('GET', KEYS[1]) or '') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
