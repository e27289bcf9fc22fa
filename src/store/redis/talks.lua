-- How a person's conversations stand.
--
-- KEYS: history, places
-- ARGV: prefix of keys; the person; then either most conversations, or the room of one and the other person
-- Returns the epoch, and for the first the conversations, the most recently used first, as
--       {the other as JSON, unread, entry of the newest message or false};
--       for the second {seq delivered, seq read, unread}, or false where nothing was ever said.

local prefix, user = ARGV[1], ARGV[2]
local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''

local function view(of, room)
  local known = redis.call('HGET', prefix .. 'views:' .. of, room)
  return known and cmsgpack.unpack(known) or { '', 0, 0, 0 }
end

local function unread(seen, room)
  -- What is not kept any more cannot be read.
  return math.min(seen[2] - seen[3], redis.call('XLEN', prefix .. 'room:' .. room))
end

if #ARGV == 3 then
  local conversations = {}
  for _, room in ipairs(redis.call('ZREVRANGE', prefix .. 'talks:' .. user, 0, ARGV[3] - 1)) do
    local seen = view(user, room)
    local newest = redis.call('XREVRANGE', prefix .. 'room:' .. room, '+', '-', 'COUNT', 1)[1]
    conversations[#conversations + 1] = { seen[1], unread(seen, room), newest or false }
  end
  return { epoch, conversations }
end

local room, other = ARGV[3], ARGV[4]
local last = redis.call('HGET', KEYS[2], room)
if not last then
  return { epoch, false }
end
local waits = redis.call('ZRANGE', prefix .. 'waits:' .. other .. room, 0, 0)[1]
local delivered = waits and tonumber(waits) - 1 or tonumber(last)
return { epoch, { delivered, view(other, room)[4], unread(view(user, room), room) } }
