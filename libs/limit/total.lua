-- Adds to a total: KEYS the total; ARGV the number to add, 1 or -1, most, period in ms. Returns 1, or 0 if the total is full.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local add, limit, per = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local count, ends = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d+)$')
count, ends = tonumber(count or '0'), tonumber(ends or '0')
if ends <= now then
  if add < 0 then return 1 end
  count, ends = 0, now + per
end
if add > 0 and limit > 0 and count >= limit then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f:%.0f', math.max(count + add, 0), ends), 'PX', math.max(ends - now, 1))
return 1
