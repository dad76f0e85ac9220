-- Ends the owner's claims. KEYS: one id each. ARGV: owner, 1 when the outcome is unknown, how long entries are kept in ms. A claim that was
-- pending when the owner claimed it stays pending: the first owner's outcome is still unknown.
local owner, unknown, keep = ARGV[1], ARGV[2] == '1', ARGV[3]
for i = 1, #KEYS do
  local entry = redis.call('GET', KEYS[i])
  if entry then
    local kind, whose = string.match(entry, '^([cp])([^|]*)|%d+$')
    if whose == owner then
      if unknown or kind == 'p' then
        redis.call('SET', KEYS[i], 'p|0', 'PX', keep)
      else
        redis.call('DEL', KEYS[i])
      end
    end
  end
end
return 1
