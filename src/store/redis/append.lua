-- Keeps a batch of posts: all that needs to be checked, counted and written, in one step.
--
-- KEYS: history, tail, rooms, places, letters, the writer's last batch
-- ARGV: the token that the writer entered with; the number of the batch; the prefix of rooms' keys;
--       messages and bytes that the tail may hold; then for each post
--       room, author, text, replica, key, neighbour (author, key and neighbour may be empty), and of a
--       direct message whom it is from and for, both once more as JSON, and the size of the box (else empty)
-- Returns the epoch, the number of the tail, and for each post one of
--       {'kept', seq, time, place}, {'earlier', the message's entry}, {'full', size}, {'refused', reason};
--       or only a word: 'enter' (anew, this Redis is not the one that was entered), 'stale' (a later
--       batch of this writer was kept).

local token, batch, prefix = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local most_messages, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local FIRST, FIELDS = 6, 11

-- How long a writer may take to ask again for what became of its last batch, in seconds.
local REMEMBERED = 3600

local history = redis.call('HMGET', KEYS[1], 'token', 'epoch', 'number', 'bytes')
local epoch, number, bytes = history[2], tonumber(history[3]), tonumber(history[4])
if history[1] ~= token or not epoch then
  return 'enter'
end

-- Direct messages of all people that are known in their order.
local LETTERS = 65536

-- Keys of another kind fail here, before anything is written.
redis.call('XLEN', KEYS[2])
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[4])
redis.call('XLEN', KEYS[5])

-- What a message takes of the tail, besides its texts.
local OVERHEAD = 100

local now = redis.call('TIME')
now = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)

local function is_error(answer)
  return type(answer) == 'table' and answer.err
end

local function earlier(room, seq)
  local entry = redis.call('XRANGE', prefix .. 'room:' .. room, seq .. '-0', seq .. '-0')[1]
  if not entry then
    return { 'refused', 'ERR the message of this key is gone' }
  end
  return { 'earlier', entry }
end

-- How a conversation stands for one of the two: the other as JSON, messages received ever, so many of
-- them read, and the message up to which it has read.
local function view(user, room, other)
  local known = redis.call('HGET', prefix .. 'views:' .. user, room)
  return known and cmsgpack.unpack(known) or { other, 0, 0, 0 }
end

local function set_view(user, room, time, seen)
  redis.call('HSET', prefix .. 'views:' .. user, room, cmsgpack.pack(seen))
  redis.call('ZADD', prefix .. 'talks:' .. user, time, room)
end

-- A direct message is from `from` for `to`; `sender` and `recipient` are the same as JSON.
local function keep(room, author, text, replica, key, neighbour, from, to, sender, recipient, size)
  local stream, keys = prefix .. 'room:' .. room, prefix .. 'keys:' .. room
  local direct = to ~= ''
  local box, talks = prefix .. 'box:' .. to, prefix .. 'talks:' .. from
  if key ~= '' then
    local seq = redis.pcall('HGET', keys, key)
    if is_error(seq) then return { 'refused', seq.err } end
    if seq then return { 'earlier', seq } end
  end
  if direct and redis.call('ZCARD', box) >= tonumber(size) then
    return { 'full', tonumber(size) }
  end
  local seq = tonumber(redis.call('HGET', KEYS[4], room) or 0) + 1
  -- Not before the message it follows, though the clock was set back.
  local before = redis.call('ZSCORE', direct and talks or KEYS[3], room)
  local time = math.max(now, tonumber(before or 0))
  local fields = { 't', time, 'a', author, 'x', text, 'h', replica, 'k', key }
  local place, seen = 0, nil
  if direct then
    place = tonumber(redis.call('HGET', prefix .. 'boxes', to) or 0) + 1
    seen = view(to, room, sender)
    seen[1], seen[2] = sender, seen[2] + 1
    for _, field in ipairs({ 'f', sender, 'o', recipient, 'p', place, 'c', seen[2], 'u', to }) do
      fields[#fields + 1] = field
    end
  end
  -- Last: where the others stand is known to those who prune.
  if neighbour ~= '' then
    fields[#fields + 1] = 'b'
    fields[#fields + 1] = neighbour
  end
  local added = redis.pcall('XADD', stream, seq .. '-0', unpack(fields))
  if is_error(added) then return { 'refused', added.err } end
  redis.call('HSET', KEYS[4], room, seq)
  if key ~= '' then redis.call('HSET', keys, key, seq) end
  if direct then
    redis.call('HSET', prefix .. 'boxes', to, place)
    redis.call('ZADD', box, place, seq .. ' ' .. room)
    redis.call('ZADD', prefix .. 'waits:' .. to .. room, seq, seq)
    set_view(to, room, time, seen)
    local letter = redis.call('HINCRBY', KEYS[1], 'letters', 1)
    redis.call('XADD', KEYS[5], 'MAXLEN', LETTERS, letter .. '-0', 'r', room, 's', seq)
    if from ~= to then
      local mine = view(from, room, recipient)
      mine[1] = recipient
      set_view(from, room, time, mine)
    end
  else
    redis.call('ZADD', KEYS[3], time, room)
  end
  number = number + 1
  redis.call('XADD', KEYS[2], number .. '-0', 'e', epoch, 'r', room, 's', seq, unpack(fields))
  bytes = bytes + OVERHEAD + #room + #author + #text + #replica
  return { 'kept', seq, time, place }
end

local function trim_tail()
  while redis.call('XLEN', KEYS[2]) > most_messages or bytes > most_bytes do
    local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 32)
    if #oldest == 0 then
      bytes = 0
      return
    end
    for _, entry in ipairs(oldest) do
      local f = entry[2]
      bytes = bytes - OVERHEAD - #f[4] - #f[10] - #f[12] - #f[14]
    end
    local last = tonumber(string.match(oldest[#oldest][1], '^%d+'))
    redis.call('XTRIM', KEYS[2], 'MINID', (last + 1) .. '-0')
  end
end

local done = redis.call('GET', KEYS[6])
done = done and cmsgpack.unpack(done)
if done and done[1] > batch then
  return 'stale'
end

local results
if done and done[1] == batch then
  results = done[2]
else
  results = {}
  for at = FIRST, #ARGV, FIELDS do
    results[#results + 1] = keep(unpack(ARGV, at, at + FIELDS - 1))
  end
  trim_tail()
  redis.call('HSET', KEYS[1], 'number', number, 'bytes', bytes)
  redis.call('SET', KEYS[6], cmsgpack.pack({ batch, results }), 'EX', REMEMBERED)
end

local answers = {}
for at, result in ipairs(results) do
  if result[1] == 'earlier' then
    result = earlier(ARGV[FIRST + (at - 1) * FIELDS], result[2])
  end
  answers[at] = result
end
return { epoch, number, answers }
