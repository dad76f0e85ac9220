-- Claims ids and confirms ids, for several callers in one step.
-- KEYS[1] the epoch; the others one id each. ARGV: how long entries are kept in ms, lease in ms, the epoch that the caller knows,
-- then two arguments for each id: "c" and the owner to claim it, "d" and the entry to confirm it. "|" and an entry may follow the owner:
-- an entry that the caller found under the id and that is not genuine. The claim then replaces it.
-- Returns the epoch, and a reply for each id: "" not claimed, because the caller does not know this epoch yet; c claimed; p pending
-- (the caller owns it now, but an earlier owner may have done it); h held; "=" and the entry, if it is not a claim.
local epoch = redis.call('GET', KEYS[1]) or ''
local keep, lease, known, now = ARGV[1], tonumber(ARGV[2]), ARGV[3], nil

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
  if epoch == '' or epoch ~= known then return '' end
  local entry, forged = redis.call('GET', key), nil
  local bar = string.find(owner, '|', 1, true)
  if bar then owner, forged = string.sub(owner, 1, bar - 1), string.sub(owner, bar + 1) end
  if not entry then return take(key, 'c', owner) end
  if entry == forged then return take(key, 'p', owner) end
  local kind, whose, ends = string.match(entry, '^([cp])([^|]*)|(%d+)$')
  if not kind then return '=' .. entry end
  if whose == owner then return take(key, kind, owner) end -- repeated by the client, or to extend the lease: the same reply
  if tonumber(ends) > clock() then return 'h' end
  return take(key, 'p', owner)
end

local reply = { epoch }
for i = 2, #KEYS do
  local what, value = ARGV[2 * i], ARGV[2 * i + 1]
  if what == 'c' then
    reply[i] = claim(KEYS[i], value)
  else
    redis.call('SET', KEYS[i], value, 'PX', keep)
    reply[i] = ''
  end
end
return reply
