-- Take the events of one request, all or none: into the stream, and into the since hashes of both sides.
-- KEYS: 1 counter of the caller's requests in this minute, 2 stream, 3 counter of its events in this minute, 4 bytes that
--       its events claimed today, 5.. since hashes of the user and of the startup of each event
-- ARGV: 1 requests allowed (0: not counted), 2 seconds the counters of a minute live, 3 most entries that may wait in the
--       stream, 4 seconds a since hash lives, 5 events allowed a minute, 6 bytes allowed a day, 7 seconds that day's counter
--       lives, 8 bytes that a new since hash costs about, 9 bytes of a new field, 10.. of each event: id bytes of the
--       user, id bytes of the startup, value of the since hashes (empty: nothing is hidden by it, '-': the pair is taken
--       out), how many arguments follow for its entry, names and values of it
-- Returns 'ok'; 'rate' where the caller has asked too often, 'events' where it has posted too many, 'memory' where they
-- claimed too much, 'full' where the drain is too far behind.
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
