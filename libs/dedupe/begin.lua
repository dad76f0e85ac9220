-- Begins an epoch. KEYS[1] the epoch. ARGV: what was found there, "" for nothing; the new epoch. Another caller's epoch stays.
if (redis.call('GET', KEYS[1]) or '') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2])
end
return 1
