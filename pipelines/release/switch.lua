-- Make a release live, all or nothing, in one atomic command.
-- KEYS: 1 current, 2 history, 3 publisher, 4 manifest of the new release, 5.. its list hashes
-- ARGV: 1 release id, 2 token of the lease, 3.. expected fields of KEYS[5..]
-- Returns "ok" or the reason why nothing changed.
if redis.call('GET', KEYS[3]) ~= ARGV[2] then
  return 'another publisher took over'
end
if redis.call('EXISTS', KEYS[4]) == 0 then
  return 'the manifest is not loaded'
end
for i = 5, #KEYS do
  local found = redis.call('HLEN', KEYS[i])
  if found ~= tonumber(ARGV[i - 2]) then
    return KEYS[i] .. ' holds ' .. found .. ' lists, expected ' .. ARGV[i - 2]
  end
end
local before = redis.call('GET', KEYS[1])
if before and before ~= ARGV[1] then
  redis.call('LREM', KEYS[2], 0, before)
  redis.call('LPUSH', KEYS[2], before)
end
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('SET', KEYS[1], ARGV[1])
return 'ok'
