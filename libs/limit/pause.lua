-- Pauses a key: KEYS paused; ARGV how long, in microseconds. A longer pause stays.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local till = now + tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or '0') < till then
  redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.ceil((till - now) / 1000) + 1000)
end
return 0
