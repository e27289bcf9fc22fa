-- What is done with sessions that needs more than one command, each in one step.
--
-- ARGV: what to do, the prefix of express's sessions, the prefix of our keys, and for
--   begin        id, login, mail address or '', record, age; most of all; most of an account;
--                what leads there for a while, or '', what is kept under it, and for how long
--   swap         id, the record that must be there, login, mail, age; the id from now on, its record;
--                what leads there for a while, what is kept under it, and for how long
--                returns 0 where another record is there
--   end          id, login
--   end_account  mail                 returns its logins
--   use          age, then id, login of each; returns the logins that there are no more
-- Ages in ms.

local what, express, ours = ARGV[1], ARGV[2], ARGV[3]
local VISITORS, ACCOUNTS = ours .. 'logins:visitors', ours .. 'logins:accounts'

-- A cookie lasts no longer than that in a browser, ms.
local LONGEST = 400 * 86400 * 1000

-- Sessions that one that begins may put an end to.
local MOST_DROPPED = 10

local function login_key(login)
  return ours .. 'login:' .. login
end

local function account_key(mail)
  return ours .. 'account:' .. mail
end

-- Nobody's session is made shorter than whoever wrote it wanted.
local function last_on(key, age)
  local left = redis.call('PTTL', key)
  if left ~= -1 and left < age then
    redis.call('PEXPIRE', key, age)
  end
end

-- Notes that a login is used now, and under which id. Those that we began are counted.
local function note(login, id, mail, age, is_new)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local key, here, there = login_key(login), VISITORS, ACCOUNTS
  redis.call('HSET', key, 'id', id, 'mail', mail)
  redis.call('PEXPIRE', key, math.max(age, redis.call('PTTL', express .. id)))
  if mail ~= '' then
    here, there = ACCOUNTS, VISITORS
    local account = account_key(mail)
    local is_first = redis.call('EXISTS', account) == 0
    redis.call('ZADD', account, now, login)
    if is_first then
      redis.call('PEXPIRE', account, age)
    else
      last_on(account, age)
    end
  end
  if redis.call('ZREM', there, login) == 1 or is_new then
    redis.call('ZADD', here, now, login)
  else
    redis.call('ZADD', here, 'XX', now, login)
  end
end

-- Ends a login, under this id and all that are known of it, and tells all replicas.
local function drop(login, id)
  local key = login_key(login)
  local kept = redis.call('HMGET', key, 'id', 'former', 'mail')
  for _, each in ipairs({ id or false, kept[1], kept[2] }) do
    if each then
      redis.call('DEL', express .. each)
    end
  end
  redis.call('DEL', key)
  redis.call('ZREM', VISITORS, login)
  redis.call('ZREM', ACCOUNTS, login)
  if kept[3] and kept[3] ~= '' then
    redis.call('ZREM', account_key(kept[3]), login)
  end
  redis.call('PUBLISH', ours .. 'ended', login)
end

local does = {}

-- Has what somebody came with lead to a login's id for a while; what led there before does so no more.
local function lead(login, former, record, age)
  local earlier = redis.call('HGET', login_key(login), 'former')
  if earlier and earlier ~= former then
    redis.call('DEL', express .. earlier)
  end
  redis.call('HSET', login_key(login), 'former', former)
  redis.call('SET', express .. former, record, 'PX', age)
end

function does.begin(id, login, mail, record, age, most, most_of_account, former, leading, former_age)
  age = tonumber(age)
  redis.call('SET', express .. id, record, 'PX', age)
  note(login, id, mail, age, true)
  if former ~= '' then
    lead(login, former, leading, former_age)
  end
  for _ = 1, MOST_DROPPED do
    if mail ~= '' and redis.call('ZCARD', account_key(mail)) > tonumber(most_of_account) then
      drop(redis.call('ZPOPMIN', account_key(mail))[1])
    elseif redis.call('ZCARD', VISITORS) + redis.call('ZCARD', ACCOUNTS) > tonumber(most) then
      drop(redis.call('ZPOPMIN', VISITORS)[1] or redis.call('ZPOPMIN', ACCOUNTS)[1])
    end
  end
end

function does.swap(id, expected, login, mail, age, new, record, former, leading, former_age)
  if redis.call('GET', express .. id) ~= expected then
    return 0
  end
  age = tonumber(age)
  local left = redis.call('PTTL', express .. id)
  redis.call('SET', express .. new, record)
  if left ~= -1 then
    redis.call('PEXPIRE', express .. new, math.max(left, age))
  end
  note(login, new, mail, age)
  redis.call('DEL', express .. id)
  lead(login, former, leading, former_age)
  return 1
end

does['end'] = function(id, login)
  drop(login, id)
end

function does.end_account(mail)
  local logins = redis.call('ZRANGE', account_key(mail), 0, -1)
  for _, login in ipairs(logins) do
    drop(login)
  end
  return logins
end

-- The record under an id, unless it is a former one.
local function present(id)
  local json = redis.call('GET', express .. id)
  local is_json, record = pcall(cjson.decode, json or '')
  if not is_json or type(record) ~= 'table' then
    return nil
  end
  local is_former = type(record.handshaken) == 'table' and record.handshaken.now
  return not is_former and record or nil
end

function does.use(default_age, ...)
  local gone, used = {}, { ... }
  for at = 1, #used, 2 do
    local given, login = used[at], used[at + 1]
    local id = redis.call('HGET', login_key(login), 'id') or given
    local record = present(id)
    -- An application of Node's may have taken all that was in it along to another id.
    if not record and id ~= given then
      id, record = given, present(given)
    end
    if record then
      local age, mail = tonumber(default_age), ''
      local own = type(record.cookie) == 'table' and record.cookie.originalMaxAge
      if type(own) == 'number' and own >= 1 then
        age = math.floor(math.min(own, LONGEST))
      end
      if type(record.mail) == 'string' then
        mail = record.mail
      end
      last_on(express .. id, age)
      -- A Redis that is full notes nothing more, and must say all the same who is gone.
      pcall(note, login, id, mail, age)
    else
      drop(login, given)
      gone[#gone + 1] = login
    end
  end
  return gone
end

return does[what](unpack(ARGV, 4))
