-- Run one command, unless a newer publisher was admitted since.
-- KEYS: 1 fence, 2.. the keys of the command
-- ARGV: 1 token, 2 the command, 3.. its arguments after the keys
-- Returns what the command returns, or the error FENCED.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED a newer publisher was let in')
end
local words = {ARGV[2]}
for i = 2, #KEYS do
  words[#words + 1] = KEYS[i]
end
for i = 3, #ARGV do
  words[#words + 1] = ARGV[i]
end
return redis.call(unpack(words))
