-- Claims ids for which "SET key claim NX GET" is not enough: an entry exists, or the server is older than Redis 7.
-- KEYS[1] the epoch; the others one id each. ARGV: how long entries are kept in ms, lease in ms, the epoch that the caller knows,
-- then the owner for each id. "|" and an entry may follow the owner: an entry that the caller found under the id and that is not genuine.
-- The claim then replaces it.
-- Returns the epoch, and a reply for each id: "" not claimed, because the epoch is another one now; c claimed; p pending
-- (the caller owns it now, but an earlier owner may have done it); h held; "=" and the entry, if it is not a claim.
local epoch = redis.call('GET', KEYS[1]) or ''
local keep, lease, known = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function take(key, kind, owner)
  redis.call('SET', key, string.format('%s%s|%.0f', kind, owner, now + lease), 'PX', keep)
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
  if tonumber(ends) > now then return 'h' end
  return take(key, 'p', owner)
end

local reply = { epoch }
for i = 2, #KEYS do
  reply[i] = claim(KEYS[i], ARGV[i + 2])
end
return reply
