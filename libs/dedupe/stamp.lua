-- Reads the state of one part of the store on the server that has it. KEYS[1] the epoch, KEYS[2] the lineage. Returns both ("" for none),
-- the server's replication id, and its time in ms. The keys let a cluster route the script to that server.
local time = redis.call('TIME')
return {
  redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '',
  string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or '',
  string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)),
}
