-- Replaces the lineage. KEYS[1] the lineage. ARGV: the lineage that the caller read, the replication id of the server on which it read it,
-- the new lineage. On another server, or after another caller's change, it replaces nothing. Returns 1 if it did.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if (string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
