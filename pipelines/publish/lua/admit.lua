-- Admit one publisher with a token greater than any before. The token is in microseconds, so a Redis that lost its data
-- gives no token twice.
-- KEYS: 1 publisher, 2 fence
-- ARGV: 1 milliseconds of the lease
-- Returns the token, or false while another publisher holds the lease.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
local now = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2]))
redis.call('SET', KEYS[2], token)
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
