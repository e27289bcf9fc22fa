-- Lets go of what is beyond the limits, in one step of a sweep over all rooms, or of the oldest of one room.
--
-- KEYS: rooms, places
-- ARGV: the prefix of rooms' keys; where the sweep is; most messages of a room (empty: all);
--       their greatest age in ms (empty: any); most messages that this step may delete; whether rooms are to be
--       measured (1); the one room that is to be shrunk, whatever its limits (empty: none)
-- Returns where the sweep goes on, whether it is at its end, and the rooms that were measured, each with
--       the bytes of memory that it takes.

local prefix, cursor, left = ARGV[1], ARGV[2], tonumber(ARGV[5])
local most, age = tonumber(ARGV[3]), tonumber(ARGV[4])
local measures, shrunk = ARGV[6] == '1', ARGV[7]

-- Bytes of text that one step deletes, about, so that others are served soon.
local STEP_BYTES = 1024 * 1024

local said_after = 0
if age then
  local now = redis.call('TIME')
  said_after = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000) - age
end

local function prune(room, first_kept)
  local stream = prefix .. 'room:' .. room
  local gone, bytes, from, done = nil, 0, '-', false
  while left > 0 and not done do
    local entries = redis.call('XRANGE', stream, from, '+', 'COUNT', math.min(left, 8))
    done = #entries == 0
    for _, entry in ipairs(entries) do
      local seq, f = tonumber(string.match(entry[1], '^%d+')), entry[2]
      if seq >= first_kept and tonumber(f[2]) >= said_after then
        done = true
        break
      end
      if f[10] ~= '' then redis.call('HDEL', prefix .. 'keys:' .. room, f[10]) end
      -- Of a direct message, the one whom it is for.
      local to = f[20]
      if to then
        redis.call('ZREM', prefix .. 'box:' .. to, seq .. ' ' .. room)
        redis.call('ZREM', prefix .. 'waits:' .. to .. room, seq)
      end
      gone, left, bytes, from = seq, left - 1, bytes + #f[6], '(' .. entry[1]
    end
    if bytes >= STEP_BYTES then left = 0 end
  end
  if gone then
    redis.call('XTRIM', stream, 'MINID', string.format('%.0f-0', gone + 1))
    if redis.call('XLEN', stream) == 0 then
      redis.call('DEL', stream)
      redis.call('ZREM', KEYS[1], room)
    end
  end
end

local sizes = {}
local function measure(room)
  -- Where it is not allowed, nothing is known.
  local size = redis.pcall('MEMORY', 'USAGE', prefix .. 'room:' .. room)
  if type(size) == 'number' then
    sizes[#sizes + 1] = room
    sizes[#sizes + 1] = size
  end
end

if shrunk ~= '' then
  prune(shrunk, math.huge)
  measure(shrunk)
  return { cursor, 1, sizes }
end

local page = redis.call('HSCAN', KEYS[2], cursor, 'COUNT', 100)
local rooms = page[2]
for at = 1, #rooms, 2 do
  -- Whether there is anything to do is found out by one entry, not by as many as may go.
  local oldest = redis.call('XRANGE', prefix .. 'room:' .. rooms[at], '-', '+', 'COUNT', 1)[1]
  if oldest then
    local seq, last = tonumber(string.match(oldest[1], '^%d+')), tonumber(rooms[at + 1])
    if (most and seq <= last - most) or tonumber(oldest[2][2]) < said_after then
      prune(rooms[at], most and last - most + 1 or 0)
      -- There may be more in this room, or further rooms: the same page again.
      if left == 0 then return { cursor, 0, {} } end
    end
    if measures then measure(rooms[at]) end
  end
end
return { page[1], page[1] == '0' and 1 or 0, sizes }
