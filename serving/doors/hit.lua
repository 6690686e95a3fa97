-- Everything that a request for lists asks of Redis, in one round trip; without owners only the rate is counted.
-- KEYS: 1 counter of the caller's requests in this minute, 2 lists of the release, 3.. since hash of each owner
-- ARGV: 1 requests allowed (0: not counted), 2 seconds the counter lives, 3 most fields of a since hash that are sent,
--       4.. field of each owner
-- Returns {0} where the caller has asked too often, else {1, list, since, list, since, ..}: the list or nil, and the
-- fields of the since hash, or only their number where they are too many.
if ARGV[1] ~= '0' then
  local asked = redis.pcall('INCR', KEYS[1]) -- a Redis that is full or read-only still hands out lists
  if asked == 1 then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
  end
  if type(asked) == 'number' and asked > tonumber(ARGV[1]) then
    return {0}
  end
end
local found = {1}
if #KEYS > 2 then
  local lists = redis.call('HMGET', KEYS[2], unpack(ARGV, 4))
  for i = 3, #KEYS do
    local since = redis.call('HLEN', KEYS[i])
    if since <= tonumber(ARGV[3]) then
      since = redis.call('HKEYS', KEYS[i])
    end
    found[#found + 1] = lists[i - 2]
    found[#found + 1] = since
  end
end
return found
