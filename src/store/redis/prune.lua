-- Lets go of what is beyond the limits, in one step of a sweep over all rooms.
--
-- KEYS: rooms, places
-- ARGV: the prefix of rooms' keys; where the sweep is; most messages of a room (empty: all);
--       their greatest age in ms (empty: any); most messages that this step may delete
-- Returns where the sweep goes on, and whether it is at its end.

local prefix, cursor, left = ARGV[1], ARGV[2], tonumber(ARGV[5])
local most, age = tonumber(ARGV[3]), tonumber(ARGV[4])

local said_after = 0
if age then
  local now = redis.call('TIME')
  said_after = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - age
end

local function prune(room, last)
  local stream = prefix .. 'room:' .. room
  local first_kept = most and last - most + 1 or 0
  local gone
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', left)) do
    local seq, f = tonumber(string.match(entry[1], '^%d+')), entry[2]
    if seq >= first_kept and tonumber(f[2]) >= said_after then break end
    if f[10] ~= '' then redis.call('HDEL', prefix .. 'keys:' .. room, f[10]) end
    -- Of a direct message, the one whom it is for.
    local to = f[20]
    if to then
      redis.call('ZREM', prefix .. 'box:' .. to, seq .. ' ' .. room)
      redis.call('ZREM', prefix .. 'waits:' .. to .. room, seq)
    end
    gone, left = seq, left - 1
  end
  if gone then
    redis.call('XTRIM', stream, 'MINID', (gone + 1) .. '-0')
    if redis.call('XLEN', stream) == 0 then
      redis.call('DEL', stream)
      redis.call('ZREM', KEYS[1], room)
    end
  end
end

local page = redis.call('HSCAN', KEYS[2], cursor, 'COUNT', 100)
local rooms = page[2]
for at = 1, #rooms, 2 do
  -- Whether there is anything to do is found out by one entry, not by as many as may go.
  local oldest = redis.call('XRANGE', prefix .. 'room:' .. rooms[at], '-', '+', 'COUNT', 1)[1]
  if oldest then
    local seq, last = tonumber(string.match(oldest[1], '^%d+')), tonumber(rooms[at + 1])
    if (most and seq <= last - most) or tonumber(oldest[2][2]) < said_after then
      prune(rooms[at], last)
      -- There may be more in this room, or further rooms: the same page again.
      if left == 0 then return { cursor, 0 } end
    end
  end
end
return { page[1], page[1] == '0' and 1 or 0 }
