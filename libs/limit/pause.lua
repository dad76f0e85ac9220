-- Pauses a key: KEYS paused; ARGV how long, longest pause, in microseconds. A longer pause stays, unless it is longer than the longest.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local till, longest = now + tonumber(ARGV[1]), tonumber(ARGV[2])
local current = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if not (current >= till and current <= now + longest) then
  redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.ceil((till - now) / 1000) + 1000)
end
return 0
