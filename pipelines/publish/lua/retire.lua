-- Remove a release from Redis, unless it is live; its keys are freed in the background.
-- KEYS: 1 fence, 2 current, 3 history, 4 loading, 5.. all keys of the release
-- ARGV: 1 token, 2 release id
-- Returns 1, or 0 for the live release.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED a newer publisher was let in')
end
if redis.call('GET', KEYS[2]) == ARGV[2] then
  return 0
end
redis.call('LREM', KEYS[3], 0, ARGV[2])
redis.call('SREM', KEYS[4], ARGV[2])
for i = 5, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return 1
