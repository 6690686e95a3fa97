-- Store the events of one request, all or none, in the stream and in the since hashes of both sides.
-- KEYS: 1 counter of the caller's requests this minute, 2 stream, 3 counter of the caller's events this minute,
--       4 bytes that the caller's events claimed today, 5.. since hashes of the user and of the startup of each event
-- ARGV: 1 requests allowed (0: no limit), 2 TTL in seconds of the minute counters, 3 most entries in the stream,
--       4 TTL in seconds of a since hash, 5 events allowed a minute, 6 bytes allowed a day, 7 TTL in seconds of the day
--       counter, 8 approximate bytes of a new since hash, 9 bytes of a new field, 10.. for each event: id bytes of the
--       user, id bytes of the startup, value for the since hashes (empty: the event hides nothing, '-': remove the
--       pair), number of arguments of its entry, their names and values
-- Returns 'ok', 'rate' (too many requests), 'events' (too many events), 'memory' (too many bytes claimed) or
-- 'full' (too many entries in the stream).
if ARGV[1] ~= '0' then
  local asked = redis.call('INCR', KEYS[1])
  if asked == 1 then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
  end
  if asked > tonumber(ARGV[1]) then
    return 'rate'
  end
end
local events = (#KEYS - 4) / 2
if tonumber(redis.call('GET', KEYS[3]) or '0') + events > tonumber(ARGV[5]) then
  return 'events'
end
if tonumber(redis.call('GET', KEYS[4]) or '0') >= tonumber(ARGV[6]) then
  return 'memory'
end
if redis.call('XLEN', KEYS[2]) + events > tonumber(ARGV[3]) then
  return 'full'
end
local claimed = 0
local function hide(key, field, value)
  if value == '-' then
    redis.call('HDEL', key, field)
    return
  end
  local there = redis.call('EXISTS', key)
  claimed = claimed + (1 - there) * tonumber(ARGV[8]) + redis.call('HSET', key, field, value) * tonumber(ARGV[9])
  redis.call('EXPIRE', key, ARGV[4])
end
local a = 10
for i = 1, events do
  local fields = tonumber(ARGV[a + 3])
  redis.call('XADD', KEYS[2], '*', unpack(ARGV, a + 4, a + 3 + fields))
  if ARGV[a + 2] ~= '' then
    hide(KEYS[2 * i + 3], ARGV[a + 1], ARGV[a + 2])
    hide(KEYS[2 * i + 4], ARGV[a], ARGV[a + 2])
  end
  a = a + 4 + fields
end
redis.call('INCRBY', KEYS[3], events)
redis.call('EXPIRE', KEYS[3], ARGV[2])
if claimed > 0 then
  redis.call('INCRBY', KEYS[4], claimed)
  redis.call('EXPIRE', KEYS[4], ARGV[7])
end
return 'ok'
