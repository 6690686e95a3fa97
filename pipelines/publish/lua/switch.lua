-- Make a release live, or replace a loaded one by it, in one atomic command.
-- KEYS: 1 fence, 2 current, 3 history, 4 loading, 5 manifest of the new release, 6.. its list hashes
-- ARGV: 1 token, 2 release id, 3 the loaded release that it replaces (empty: it becomes the live one),
--       4.. expected fields of KEYS[6..]
-- Returns "ok" or the reason why nothing changed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED a newer publisher was let in')
end
if redis.call('EXISTS', KEYS[5]) == 0 then
  return 'the manifest is not loaded'
end
for i = 6, #KEYS do
  local found = redis.call('HLEN', KEYS[i])
  if found ~= tonumber(ARGV[i - 2]) then
    return KEYS[i] .. ' holds ' .. found .. ' lists, expected ' .. ARGV[i - 2]
  end
end
local live = redis.call('GET', KEYS[2])
local place = ARGV[3] ~= '' and redis.call('LPOS', KEYS[3], ARGV[3])
if ARGV[3] == '' then
  if live and live ~= ARGV[2] then
    redis.call('LREM', KEYS[3], 0, live)
    redis.call('LPUSH', KEYS[3], live)
  end
  redis.call('LREM', KEYS[3], 0, ARGV[2])
  redis.call('SET', KEYS[2], ARGV[2])
elseif live == ARGV[3] then
  redis.call('SET', KEYS[2], ARGV[2])
elseif place then
  redis.call('LSET', KEYS[3], place, ARGV[2])
else
  return ARGV[3] .. ' is not live and not in the history'
end
redis.call('SREM', KEYS[4], ARGV[2])
if ARGV[3] ~= '' then
  redis.call('SADD', KEYS[4], ARGV[3])
end
return 'ok'
