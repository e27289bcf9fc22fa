-- Takes messages out of a person's box.
--
-- KEYS: history, the channel of marks
-- ARGV: prefix of keys; the person; who asks, by name; the places
-- Returns the epoch and, for each message that was there, its entry in its room.

local prefix, user, origin = ARGV[1], ARGV[2], ARGV[3]
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
local box = prefix .. 'box:' .. user
local taken = {}
for at = 4, #ARGV do
  local place = ARGV[at]
  local member = redis.call('ZRANGEBYSCORE', box, place, place)[1]
  if member then
    local seq, room = string.match(member, '^(%d+) (.*)$')
    redis.call('ZREM', box, member)
    redis.call('ZREM', prefix .. 'waits:' .. user .. room, seq)
    local entry = redis.call('XRANGE', prefix .. 'room:' .. room, seq .. '-0', seq .. '-0')[1]
    if entry then
      taken[#taken + 1] = entry
      local f = entry[2]
      redis.call('PUBLISH', KEYS[2], string.format(
        '{"origin":"%s","from":%s,"to":%s,"epoch":%s,"seq":%s,"time":%s,"place":%s}',
        origin, f[12], f[14], epoch, seq, f[2], place))
    end
  end
end
return { epoch, taken }
