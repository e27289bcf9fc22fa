-- Counts attempts of all replicas as `attempts` does those of one, each call in one step.
--
-- KEYS: counts, hash of key -> '<failed> <under way>'; ends, sorted set of the same keys by the end of their window, ms
-- ARGV: what to do, and for
--   begin   window in ms; most keys that are counted; then each key, and how often it may have failed
--           returns 'begun'; 'wait' and for how many ms, where one has failed too often; or 'busy', where one would
--           have if all that are under way failed: it counts for none then
--   end     'failed' or 'forgiven'; then each key

local COUNTS, ENDS = KEYS[1], KEYS[2]

-- Windows that one call forgets, so that it does not keep Redis from all else.
local MOST_FORGOTTEN = 100

local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)

local function forget(key)
  redis.call('HDEL', COUNTS, key)
  redis.call('ZREM', ENDS, key)
end

-- How many failed and are under way, and when that is forgotten; nothing where it is already.
local function read(key)
  local ends = tonumber(redis.call('ZSCORE', ENDS, key) or 0)
  local counts = redis.call('HGET', COUNTS, key)
  if not counts or ends <= now then
    return nil
  end
  local failed, under_way = string.match(counts, '^(%d+) (%d+)$')
  return tonumber(failed), tonumber(under_way), ends
end

local function write(key, failed, under_way)
  redis.call('HSET', COUNTS, key, string.format('%d %d', failed, under_way))
end

local does = {}

function does.begin(window, capacity, ...)
  local asked, wait, is_busy = { ... }, 0, false
  for at = 1, #asked, 2 do
    local failed, under_way, ends = read(asked[at])
    local most = tonumber(asked[at + 1])
    if failed and failed >= most then
      wait = math.max(wait, ends - now)
    elseif failed and failed + under_way >= most then
      is_busy = true
    end
  end
  if wait > 0 then
    return { 'wait', wait }
  elseif is_busy then
    return { 'busy', 0 }
  end
  for _, key in ipairs(redis.call('ZRANGE', ENDS, '-inf', now, 'BYSCORE', 'LIMIT', 0, MOST_FORGOTTEN)) do
    forget(key)
  end
  for at = 1, #asked, 2 do
    local key = asked[at]
    local failed, under_way = read(key)
    if failed then
      write(key, failed, under_way + 1)
    else
      while redis.call('ZCARD', ENDS) >= tonumber(capacity) do
        forget(redis.call('ZRANGE', ENDS, 0, 0)[1])
      end
      write(key, 0, 1)
      redis.call('ZADD', ENDS, string.format('%.0f', now + window), key)
    end
  end
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, window)
  end
  return { 'begun', 0 }
end

does['end'] = function(how, ...)
  for _, key in ipairs({ ... }) do
    local failed, under_way = read(key)
    -- One that is gone meanwhile is not made again.
    if failed then
      under_way = math.max(under_way - 1, 0)
      failed = failed + (how == 'failed' and 1 or 0)
      if failed == 0 and under_way == 0 then
        forget(key)
      else
        write(key, failed, under_way)
      end
    end
  end
  return { 'ended', 0 }
end

return does[ARGV[1]](unpack(ARGV, 2))
