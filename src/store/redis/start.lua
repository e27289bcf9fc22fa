-- Finds where the newest messages of a room begin.
--
-- KEYS: places, the room's stream
-- ARGV: room; how many messages
-- Returns the seq that they follow.

local last = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = oldest and tonumber(string.match(oldest[1], '^%d+')) or last + 1
return math.max(last - tonumber(ARGV[2]), first - 1)
