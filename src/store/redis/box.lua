-- What waits for a person, the oldest first.
--
-- KEYS: history
-- ARGV: prefix of keys; the person; the place after which to begin; most messages
-- Returns the epoch, and entries of messages.

local prefix, user, after, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local entries = {}
for _, member in ipairs(redis.call(
  'ZRANGEBYSCORE', prefix .. 'box:' .. user, '(' .. after, '+inf', 'LIMIT', 0, limit)) do
  local seq, room = string.match(member, '^(%d+) (.*)$')
  local entry = redis.call('XRANGE', prefix .. 'room:' .. room, seq .. '-0', seq .. '-0')[1]
  entries[#entries + 1] = entry
end
return { redis.call('HGET', KEYS[1], 'epoch') or '', entries }
