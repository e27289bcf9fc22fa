-- Direct messages of all people, in the order in which they were kept.
--
-- KEYS: history, letters
-- ARGV: prefix of keys; the number after which to begin; most messages, and bytes of their texts (one message at least)
-- Returns the epoch, the newest number, and pairs of a number and an entry.

local prefix, after, limit, most_bytes = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local history = redis.call('HMGET', KEYS[1], 'epoch', 'letters')
local found, bytes = {}, 0
for _, letter in ipairs(redis.call('XRANGE', KEYS[2], '(' .. after .. '-0', '+', 'COUNT', limit) or {}) do
  local number, room, seq = string.match(letter[1], '^%d+'), letter[2][2], letter[2][4]
  local entry = redis.call('XRANGE', prefix .. 'room:' .. room, seq .. '-0', seq .. '-0')[1]
  if entry then
    bytes = bytes + #entry[2][6]
    if bytes > most_bytes and #found > 0 then break end
    found[#found + 1] = { number, entry }
  end
end
return { history[1] or '', history[2] or '0', found }
