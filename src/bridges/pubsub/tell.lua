-- Publishes what was not published yet, and notes how far that is, in one step: whoever asks again, or thinks that
-- it still holds the lease, publishes nothing twice.
-- KEYS[1]: how far, `<number>-<epoch>`
-- ARGV: the channel, the epoch, then number and body of each message, in order

local number, epoch = (redis.call('GET', KEYS[1]) or ''):match('^(%d+)%-(%x+)$')
local told = epoch == ARGV[2] and tonumber(number) or -1
for i = 3, #ARGV, 2 do
  if tonumber(ARGV[i]) > told then
    redis.call('PUBLISH', ARGV[1], ARGV[i + 1])
    redis.call('SET', KEYS[1], ARGV[i] .. '-' .. ARGV[2])
  end
end
return 1
