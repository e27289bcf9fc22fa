-- Begins work on a new connection: draws the epoch where there is no history yet, and a new one where
-- Redis has lost messages that the caller saw.
--
-- Each time a process of Redis (named by its token) is met first, the number of the tail it came up
-- with is written down, before anything can be appended to it. Whoever saw more than that under an
-- earlier process knows of a loss, however much was appended meanwhile.
--
-- KEYS: history, processes, tail
-- ARGV: token; an epoch to draw; epoch, token and number that the caller saw last (empty at first)
-- Returns the epoch, the number of the tail, and whether messages were lost.

local token, drawn, seen_epoch, seen_token, seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local history = redis.call('HMGET', KEYS[1], 'epoch', 'token', 'number')
local epoch, number = history[1], tonumber(history[3])

-- So many processes of Redis are remembered.
local PROCESSES = 1000

local function start(lost)
  redis.call('HSET', KEYS[1], 'epoch', drawn, 'token', token, 'number', number)
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], token .. ' ' .. number)
  return { drawn, number, lost }
end

if not epoch or not number then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[1], 'bytes', 0)
  number = 0
  return start(0)
end

if history[2] ~= token then
  redis.call('HSET', KEYS[1], 'token', token)
  redis.call('RPUSH', KEYS[2], token .. ' ' .. number)
  redis.call('LTRIM', KEYS[2], -PROCESSES, -1)
end

if seen_epoch == epoch then
  local least, known = number, false
  local processes = redis.call('LRANGE', KEYS[2], 0, -1)
  for at = #processes, 1, -1 do
    local name, began = string.match(processes[at], '^(.*) (%d+)$')
    if name == seen_token then
      known = true
      break
    end
    least = math.min(least, tonumber(began))
  end
  if not known or seen > least then
    return start(1)
  end
end

return { epoch, number, 0 }
