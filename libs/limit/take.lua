-- Takes a place: KEYS next, paused; ARGV interval, burst, patience, in microseconds. Returns the wait and whether it was
-- taken. The clock is Redis's own, so that replicas whose clocks differ share one rate.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local paused = tonumber(redis.call('GET', KEYS[2]) or '0')
if paused > now then
  next = math.max(next, paused + burst)
end
local wait = math.max(next - now - burst, 0)
if wait > patience then
  return {wait, 0}
end
next = next + interval
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
return {wait, 1}
