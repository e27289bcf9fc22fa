-- What waits for a person, the oldest first.
--
-- KEYS: history
-- ARGV: prefix of keys; the person; the place after which to begin; most messages, and bytes of their texts (one
--       message at least)
-- Returns the epoch, entries of messages, and whether there may be more.

local prefix, user, after, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most_bytes = tonumber(ARGV[5])
local members = redis.call(
  'ZRANGEBYSCORE', prefix .. 'box:' .. user, '(' .. after, '+inf', 'LIMIT', 0, limit)
local entries, bytes, more = {}, 0, #members >= tonumber(limit)
for _, member in ipairs(members) do
  local seq, room = string.match(member, '^(%d+) (.*)$')
  local entry = redis.call('XRANGE', prefix .. 'room:' .. room, seq .. '-0', seq .. '-0')[1]
  if entry then
    bytes = bytes + #entry[2][6]
    if bytes > most_bytes and #entries > 0 then
      more = true
      break
    end
    entries[#entries + 1] = entry
  end
end
return { redis.call('HGET', KEYS[1], 'epoch') or '', entries, more and 1 or 0 }
