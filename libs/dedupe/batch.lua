-- Claims ids and confirms ids, for several callers in one step.
-- KEYS[1] the epoch; the others one id each. ARGV: how long entries are kept in ms, lease in ms, then two words for each id:
-- "c" and the owner to claim it, "d" and the entry to confirm it.
-- Returns the epoch, "" for none (this Redis has forgotten everything: nothing is claimed, the caller begins a new epoch
-- first), and a word for each id: "" not claimed, c claimed, p pending (the caller's now, but an earlier owner may have
-- done it), h held, 1… done.
local epoch = redis.call('GET', KEYS[1]) or ''
local keep, lease, now = ARGV[1], tonumber(ARGV[2]), nil

local function clock()
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end

local function take(key, kind, owner)
  redis.call('SET', key, string.format('%s%s|%.0f', kind, owner, clock() + lease), 'PX', keep)
  return kind
end

local function claim(key, owner)
  if epoch == '' then return '' end
  local entry = redis.call('GET', key)
  if not entry then return take(key, 'c', owner) end
  if string.sub(entry, 1, 1) == '1' then return entry end
  local kind, whose, ends = string.match(entry, '^([cp])([^|]*)|(%d+)$')
  if not kind then return '?' end
  if whose == owner then return take(key, kind, owner) end -- repeated by the client, or to extend the lease: the same answer
  if tonumber(ends) > clock() then return 'h' end
  return take(key, 'p', owner)
end

local answer = { epoch }
for i = 2, #KEYS do
  local what, value = ARGV[2 * i - 1], ARGV[2 * i]
  if what == 'c' then
    answer[i] = claim(KEYS[i], value)
  else
    redis.call('SET', KEYS[i], value, 'PX', keep)
    answer[i] = value
  end
end
return answer
