-- Take the events of one request, all or none: into the stream, and into the since hashes of both sides.
-- KEYS: 1 counter of the caller's requests in this minute, 2 stream, 3.. since hashes of the user and of the startup of
--       each event
-- ARGV: 1 requests allowed (0: not counted), 2 seconds the counter lives, 3 most entries that may wait in the stream,
--       4 seconds a since hash lives, 5.. of each event: id bytes of the user, id bytes of the startup, value of the
--       since hashes (empty: nothing is hidden by it), how many arguments follow for its entry, names and values of it
-- Returns 'ok', 'rate' where the caller has asked too often, 'full' where the drain is too far behind.
if ARGV[1] ~= '0' then
  local asked = redis.call('INCR', KEYS[1])
  if asked == 1 then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
  end
  if asked > tonumber(ARGV[1]) then
    return 'rate'
  end
end
local events = (#KEYS - 2) / 2
if redis.call('XLEN', KEYS[2]) + events > tonumber(ARGV[3]) then
  return 'full'
end
local a = 5
for i = 1, events do
  local fields = tonumber(ARGV[a + 3])
  redis.call('XADD', KEYS[2], '*', unpack(ARGV, a + 4, a + 3 + fields))
  local value = ARGV[a + 2]
  if value ~= '' then
    local user, startup = KEYS[2 * i + 1], KEYS[2 * i + 2]
    redis.call('HSET', user, ARGV[a + 1], value)
    redis.call('HSET', startup, ARGV[a], value)
    redis.call('EXPIRE', user, ARGV[4])
    redis.call('EXPIRE', startup, ARGV[4])
  end
  a = a + 4 + fields
end
return 'ok'
