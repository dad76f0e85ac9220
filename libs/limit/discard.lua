-- Removes an item from the items remembered: KEYS the items; ARGV the item's mark, how long items are remembered in ms.
local words = {}
for at, other in string.gmatch(redis.call('GET', KEYS[1]) or '', '(%d+):([^,]+)') do
  if other ~= ARGV[1] then words[#words + 1] = at .. ':' .. other end
end
redis.call('SET', KEYS[1], table.concat(words, ','), 'PX', ARGV[2])
return 1
