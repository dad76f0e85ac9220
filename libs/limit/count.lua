-- Counts an item once: KEYS the items remembered, then the totals; ARGV the item's mark, how long and how many items are remembered, the
-- number of quotas of the first key, then most and period of each quota, first of the first key's and then of the totals'. Times are
-- milliseconds, by Redis's own clock. Returns the index of the first full quota, from 0, -1 if the item is counted now, or -2 if it was
-- counted before; and the time after which the full quota has room.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mark, keep, most, quotas = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function quota(i) return tonumber(ARGV[5 + 2 * i]), tonumber(ARGV[6 + 2 * i]) end

local items = {}
for at, other in string.gmatch(redis.call('GET', KEYS[1]) or '', '(%d+):([^,]+)') do
  if tonumber(at) > now - keep then
    if other == mark then return {-2, 0} end
    items[#items + 1] = {tonumber(at), other}
  end
end
for i = 0, quotas - 1 do
  local limit, per = quota(i)
  local recent = {}
  for _, item in ipairs(items) do
    if item[1] > now - per then recent[#recent + 1] = item[1] end
  end
  if limit > 0 and #recent >= limit then return {i, recent[#recent - limit + 1] + per - now} end
end
local totals = {}
for k = 2, #KEYS do
  local limit, per = quota(quotas + k - 2)
  local count, ends = string.match(redis.call('GET', KEYS[k]) or '', '^(%d+):(%d+)$')
  count, ends = tonumber(count or '0'), tonumber(ends or '0')
  if ends <= now then count, ends = 0, now + per end
  if limit > 0 and count >= limit then return {quotas + k - 2, ends - now} end
  totals[k] = {count + 1, ends}
end

items[#items + 1] = {now, mark}
local words = {}
for i = math.max(#items - most + 1, 1), #items do
  words[#words + 1] = string.format('%.0f:%s', items[i][1], items[i][2])
end
redis.call('SET', KEYS[1], table.concat(words, ','), 'PX', keep)
for k = 2, #KEYS do
  redis.call('SET', KEYS[k], string.format('%.0f:%.0f', totals[k][1], totals[k][2]), 'PX', math.max(totals[k][2] - now, 1))
end
return {-1, 0}
