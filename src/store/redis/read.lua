-- Reads a part of a room.
--
-- KEYS: history, places, the room's stream
-- ARGV: room; 'last', 'before' or 'after'; epoch and seq that the part is before or after; most messages
-- Returns the epoch, the token and the number of the tail, and the messages, newest first unless 'after';
--       no messages but false where what follows the place is not known.

local room, which, epoch, seq, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local history = redis.call('HMGET', KEYS[1], 'epoch', 'token', 'number')

local function messages()
  if which == 'last' then
    return redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', limit) or {}
  end
  if history[1] ~= epoch then
    return which == 'before' and {}
  end
  if which == 'before' then
    -- Nothing comes before the first place that there can be.
    if seq == '0' then return {} end
    return redis.call('XREVRANGE', KEYS[3], '(' .. seq .. '-0', '-', 'COUNT', limit) or {}
  end
  local last = tonumber(redis.call('HGET', KEYS[2], room) or 0)
  local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
  local first = oldest and tonumber(string.match(oldest[1], '^%d+')) or last + 1
  if tonumber(seq) > last or tonumber(seq) + 1 < first then
    return false
  end
  return redis.call('XRANGE', KEYS[3], seq .. '-1', '+', 'COUNT', limit) or {}
end

return { history[1] or '', history[2] or '', history[3] or '0', messages() }
