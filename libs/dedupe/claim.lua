-- Looks ids up and claims the unknown ones, in one step.
-- KEYS[1] the epoch; the others one id each. ARGV: owner, lease in ms, how long entries are kept in ms.
-- Returns nothing without an epoch (this Redis has forgotten everything; the caller begins a new epoch first); else the
-- epoch and a word for each id: c claimed, p pending (ours, but an earlier owner may have done it), h held, 1… done.
local epoch = redis.call('GET', KEYS[1])
if not epoch then return {} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner, lease, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local answer = { epoch }
for i = 2, #KEYS do
  local entry = redis.call('GET', KEYS[i])
  if not entry then
    redis.call('SET', KEYS[i], string.format('c%s|%.0f', owner, now + lease), 'PX', keep)
    answer[i] = 'c'
  elseif string.sub(entry, 1, 1) == '1' then
    answer[i] = entry
  else
    local kind, whose, ends = string.match(entry, '^([cp])([^|]*)|(%d+)$')
    if not kind then
      answer[i] = '?'
    elseif whose == owner then
      answer[i] = kind -- our own call, repeated by the client: the same answer again
    elseif tonumber(ends) > now then
      answer[i] = 'h'
    else
      redis.call('SET', KEYS[i], string.format('p%s|%.0f', owner, now + lease), 'PX', keep)
      answer[i] = 'p'
    end
  end
end
return answer
