-- Moves the mark up to which a person has read a conversation.
--
-- KEYS: history, the channel of marks, the conversation's stream
-- ARGV: prefix of keys; the conversation's room; the reader; both as JSON, the reader first; epoch and seq
--       of the message; who asks, by name
-- Returns how many messages to the reader are unread, and the time of the message, 0 where the mark did
--       not move; nothing where there is no such message.

local prefix, room, reader = ARGV[1], ARGV[2], ARGV[3]
local reader_json, other_json, epoch, seq, origin = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call('HGET', KEYS[1], 'epoch') ~= epoch then
  return false
end
local entry = redis.call('XRANGE', KEYS[3], seq .. '-0', seq .. '-0')[1]
local views = prefix .. 'views:' .. reader
local view = redis.call('HGET', views, room)
if not entry or not view then
  return false
end
view = cmsgpack.unpack(view)
local f = entry[2]
seq = tonumber(seq)
if seq <= view[4] then
  return { view[2] - view[3], 0 }
end
-- Every message of the room is for one of the two.
local count = tonumber(f[18])
view[3] = f[20] == reader and count or seq - count
view[4] = seq
redis.call('HSET', views, room, cmsgpack.pack(view))
redis.call('PUBLISH', KEYS[2], string.format(
  '{"origin":"%s","from":%s,"to":%s,"epoch":%s,"seq":%s,"time":%s}',
  origin, other_json, reader_json, epoch, ARGV[7], f[2]))
return { view[2] - view[3], f[2] }
