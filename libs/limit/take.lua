-- Takes slots: KEYS next, paused; ARGV interval, burst, maximum wait, longest pause, in microseconds, and the number of slots. Returns the time
-- until the first slot, which is negative for a slot of a burst, and how many slots were taken: as many as are within the maximum wait. If
-- there is none, it returns the wait and 0. The clock is Redis's own, so that replicas whose clocks differ share one rate. An entry that is not a number, or is further
-- ahead than these scripts write it, is ignored.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, burst, maxwait, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function entry(key, most)
  local at = tonumber(redis.call('GET', key) or '0') or 0
  if at > now and at <= now + most then return at end -- false for nan, too
  return now
end

local next = entry(KEYS[1], interval + burst + maxwait + longest)
local paused = entry(KEYS[2], longest)
if paused > now then
  next = math.max(next, paused + burst)
end
local ahead = next - now - burst
if ahead > maxwait then
  return {ahead, 0}
end
local slots = tonumber(ARGV[5])
if slots > 1 then
  slots = math.min(slots, math.floor((maxwait - ahead) / interval) + 1)
end
next = next + slots * interval
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1000)
return {ahead, slots}
