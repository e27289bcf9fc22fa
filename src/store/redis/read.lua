-- Reads a part of a room.
--
-- KEYS: history, places, the room's stream
-- ARGV: room; 'last', 'before' or 'after'; epoch and seq that the part is before or after; most messages, and
--       bytes of their texts (one message at least)
-- Returns the epoch, the token and the number of the tail, and the messages, newest first unless 'after';
--       no messages but false where what follows the place is not known.

local room, which, epoch, seq = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local most, most_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local history = redis.call('HMGET', KEYS[1], 'epoch', 'token', 'number')

-- Entries in the order of the command, from an id on, to its limits. They are asked for a few at a time, as many
-- as may fit by what the others were, so that texts which are not given out are hardly read.
local function within(command, from, to)
  local found, bytes, count = {}, 0, 2
  while #found < most do
    local entries = redis.call(command, KEYS[3], from, to, 'COUNT', math.min(count, most - #found)) or {}
    for _, entry in ipairs(entries) do
      bytes = bytes + #entry[2][6]
      if bytes > most_bytes and #found > 0 then return found end
      found[#found + 1] = entry
    end
    if #entries < count then return found end
    from = '(' .. entries[#entries][1]
    local average = math.max(bytes / #found, 1)
    count = math.max(1, math.min(2 * count, math.floor((most_bytes - bytes) / average)))
  end
  return found
end

local function messages()
  if which == 'last' then
    return within('XREVRANGE', '+', '-')
  end
  if history[1] ~= epoch then
    return which == 'before' and {}
  end
  if which == 'before' then
    -- Nothing comes before the first place that there can be.
    if seq == '0' then return {} end
    return within('XREVRANGE', '(' .. seq .. '-0', '-')
  end
  local last = tonumber(redis.call('HGET', KEYS[2], room) or 0)
  local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  local first = oldest and tonumber(string.match(oldest[1], '^%d+')) or last + 1
  if tonumber(seq) > last or tonumber(seq) + 1 < first then
    return false
  end
  return within('XRANGE', seq .. '-1', '+')
end

return { history[1] or '', history[2] or '', history[3] or '0', messages() }
