#!lua name=@LIBRARY@

-- One namespace's ledger in Redis or Valkey, as one function library. Every function is atomic:
-- it reads and checks everything first and writes afterwards, so an error leaves all as it was.
-- The sums are those of windows.py, the table of transitions stays in approvals.py: here a request
-- is text with a version, exchanged only for the version that the new text was made from.
--
-- Whole numbers only. All keys arrive in KEYS and share one hash tag, so a cluster keeps them on
-- one node. The first lines of the library name carry a hash of this file; see functions.py.
--
--   epoch          text     when this store was first used, in microseconds: its name as well
--   w:<window>     list     cells `stamp count before`, oldest first; before = counted earlier
--   r:<loop>       list     the same of a loop
--   l:<window>     zset     digest → when its reservation ends
--   g:<grant>      text     how often it was used
--   d:<digest>     text     `id state until`: what answers this exact call
--   q:<id>         hash     v = version, t = the request as text without its arguments, a = those,
--                           s = their size; a and s are missing once they were let go
--   requests       zset     id → until when it is kept
--   sizes          zset     `id size` of each whose arguments are here → until when it is kept
--   bytes          text     the sum of those sizes
--   pending[:pod]  zset     id → until when it is pending
--   standing       hash     name → `made text`
--   reports        hash     pod uid → what its sidecar reports
--   seen           zset     pod uid → when it last did
--
-- What is delivered to sidecars lies under m7b:{<namespace>}: where their users may only read.
--
--   bundle         hash     v = version, t = envelope
--   overlay        hash     the same
--
-- The audit lies under m7a:{<namespace>}: where users append to the inbox and may nothing else.
--
--   inbox          list     segments as `audit_entries.py` writes them
--   audit          stream   the same, moved here by the operator: k = kind, c = chain, n, m = first
--                           and last block, h = hash of the last, r = records, u = pod uid,
--                           p = pod, b = bytes; o = 1 on those that the operator wrote itself;
--                           x = size of something that is no segment

local MOST_EXACT = 256
local DAY_MS = 86400000
local LONGEST_LEASE_MS = 3600000
local LATE_MS = 1500
local MOST_REQUESTS = 10000
local MOST_BYTES = 16777216
local REPORTED_MS = 90000
local MOST_REPORTS = 1000
local LONGEST_REPORT = 524288
-- Whoever may call these functions chooses keys and words, and may write into the keys: no loop may
-- run longer than these say, for the whole server waits. What a gateway of ours sends stays below.
local MOST_CELLS = 600
local MOST_LEASES = 20000
local MOST_WINDOWS = 250
local MOST_KEYS = 10000
local MOST_WORDS = 50000
local MOST_TOGETHER = 1000
local MOST_DIGITS = 16
local LONGEST_HEADER = 800
local LONGEST_SEGMENT = 1048576
local MOST_SEGMENTS = 500

local DENIED, SPENT, REPEATED, GRANTED, APPROVED, PENDING, ADMITTED = 1, 2, 3, 4, 5, 6, 7
local DONE, OTHERWISE, LATE, FULL = 0, 1, 2, 3

-- The two lines that know the time. Tests load this file with others in their place.
local function now() -- clock
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end -- clock

local function keep(key, ms) -- expiry; 0 = for ever
  if ms > 0 then redis.call('PEXPIRE', key, ms) else redis.call('PERSIST', key) end
end -- expiry

local function unreadable()
  error({ err = 'M7UNREADABLE a key holds what this library did not write' })
end

-- Refuse numbers of keys and words that no gateway of ours sends; nil and NaN are refused too.
local function demand(is_so)
  if not is_so then error({ err = 'M7REFUSED numbers of keys and words that do not fit' }) end
end

local function is_whole(number, most)
  return number and number >= 0 and number <= most and number % 1 == 0
end

-- A whole number as a key holds it; `missing` when there is none. A long text is read once only.
local function number_of(text, missing)
  if not text then return missing end
  if #text > MOST_DIGITS or not string.match(text, '^%d+$') then unreadable() end
  return tonumber(text)
end

-- Whether what a client worked out at `at_ms` may still be written.
local function is_late(at_ms)
  local age = now() - tonumber(at_ms)
  return age > LATE_MS or age < -LATE_MS
end

---------------------------------------------------------------------------------- windows

local function cell(text)
  local stamp, count, before
  if text and #text <= 3 * MOST_DIGITS + 2 then
    stamp, count, before = string.match(text, '^(%d+) (%d+) (%d+)$')
  end
  if not stamp then unreadable() end
  return tonumber(stamp), tonumber(count), tonumber(before)
end

-- The clock was set back: what was counted in its future counts from now on, and leases end an
-- hour from now at the latest.
local function set_back(cells, at)
  if redis.call('LINDEX', cells, MOST_CELLS) then unreadable() end
  for index, text in ipairs(redis.call('LRANGE', cells, 0, -1)) do
    local stamp, count, before = cell(text)
    if stamp > at then
      redis.call('LSET', cells, index - 1, at .. ' ' .. count .. ' ' .. before)
    end
  end
end

local function shorten_leases(leases, at)
  local latest = at + LONGEST_LEASE_MS
  -- Some with each call: one that stays too long refuses, and lets nothing through.
  local long = redis.call('ZRANGE', leases, '(' .. latest, '+inf', 'BYSCORE', 'LIMIT', 0, 256)
  for _, digest in ipairs(long) do
    redis.call('ZADD', leases, latest, digest)
  end
end

-- One window as it is now: `taken` by others, `aged` cells at its head, its newest cell.
local function look(cells, leases, maximum, span, idle, digest, at)
  local one = {
    cells = cells, leases = leases, maximum = tonumber(maximum), span = tonumber(span),
    idle = tonumber(idle), taken = 0, aged = 0, used = 0, leased = 0, is_own = false,
  }
  local newest = redis.call('LINDEX', cells, -1)
  if newest then
    one.stamp, one.count, one.before = cell(newest)
    if one.stamp > at then
      set_back(cells, at)
      one.stamp = at
    end
    local horizon = one.span > 0 and at - one.span or -1
    local stamp, _, before = cell(redis.call('LINDEX', cells, 0))
    if one.stamp <= horizon then
      one.aged = -1
    else
      while stamp <= horizon do
        one.aged = one.aged + 1
        if one.aged >= MOST_CELLS then unreadable() end
        stamp, _, before = cell(redis.call('LINDEX', cells, one.aged))
      end
      one.used = one.before + one.count - before
    end
  end
  one.taken = one.used
  one.leased = leases and redis.call('ZCARD', leases) or 0
  if one.leased > 0 then
    if one.leased > MOST_LEASES then unreadable() end
    shorten_leases(leases, at)
    one.taken = one.taken + redis.call('ZCOUNT', leases, '(' .. at, '+inf')
    local own = digest ~= '' and redis.call('ZSCORE', leases, digest)
    if own and tonumber(own) > at then
      one.is_own = true
      one.taken = one.taken - 1
    end
  end
  return one
end

-- In how many milliseconds a full window has a place again; 0 = never by waiting.
local function retry_after(one, digest, at)
  local missing = one.taken - one.maximum + 1
  local freed = {}
  if one.leased > 0 then
    local ends = redis.call('ZRANGE', one.leases, '(' .. at, '+inf', 'BYSCORE', 'WITHSCORES')
    for index = 1, #ends, 2 do
      if ends[index] ~= digest then freed[#freed + 1] = { tonumber(ends[index + 1]), 1 } end
    end
  end
  if one.span > 0 and one.used > 0 then
    for _, text in ipairs(redis.call('LRANGE', one.cells, one.aged, one.aged + MOST_CELLS)) do
      local stamp, count = cell(text)
      freed[#freed + 1] = { stamp + one.span, count }
    end
  end
  table.sort(freed, function(a, b) return a[1] < b[1] end)
  for _, place in ipairs(freed) do
    missing = missing - place[2]
    if missing <= 0 then return place[1] - at end
  end
  return 0
end

-- Drop cells that have aged and leases that have ended.
local function forget(one, at)
  if one.aged < 0 then
    redis.call('DEL', one.cells)
    one.stamp = nil
  elseif one.aged > 0 then
    redis.call('LTRIM', one.cells, one.aged, -1)
  end
  one.aged = 0
  if one.leased > 0 then redis.call('ZREMRANGEBYSCORE', one.leases, '-inf', at) end
end

-- Let its keys lapse when nothing of it counts any more, as long as nobody touches it.
local function lapse(one, at)
  local ends, last = at, nil
  if one.leased > 0 then
    last = tonumber(redis.call('ZRANGE', one.leases, -1, -1, 'WITHSCORES')[2])
  end
  if one.stamp then
    ends = one.span > 0 and one.stamp + one.span or at + one.idle
    if last and last > ends then ends = last end
    if one.span == 0 and one.idle == 0 then ends = at end
    keep(one.cells, ends - at)
    if last then keep(one.leases, ends - at) end
  elseif last then
    keep(one.leases, last - at)
  end
end

local function stamp(one, digest, at)
  if one.leased > 0 and digest ~= '' then redis.call('ZREM', one.leases, digest) end
  forget(one, at)
  local slice = 1
  if one.maximum > MOST_EXACT then slice = math.max(1, math.floor(one.span / MOST_EXACT)) end
  if one.span == 0 then
    redis.call('DEL', one.cells)
    redis.call('RPUSH', one.cells, at .. ' ' .. (one.used + 1) .. ' 0')
  elseif one.stamp and math.floor(one.stamp / slice) == math.floor(at / slice) then
    redis.call('LSET', one.cells, -1, at .. ' ' .. (one.count + 1) .. ' ' .. one.before)
  else
    local before = one.stamp and one.before + one.count or 0
    redis.call('RPUSH', one.cells, at .. ' 1 ' .. before)
  end
  one.stamp = at
  lapse(one, at)
end

local function reserve(one, digest, lease, at)
  forget(one, at)
  if lease > 0 then
    redis.call('ZADD', one.leases, at + math.min(lease, LONGEST_LEASE_MS), digest)
  else
    redis.call('ZREM', one.leases, digest)
  end
  one.leased = 1
  lapse(one, at)
end

-- The first full one of some windows; nil when each has room.
local function full(windows)
  for index, one in ipairs(windows) do
    if one.taken >= one.maximum then return index end
  end
end

---------------------------------------------------------------------------------- observe

-- What the client should know of this store from now on (empty: nothing new), and, when its past
-- is lost to that client, since when it counts.
local function epoch(key, known, is_dry, at)
  local found = redis.call('GET', key)
  if found == known then return '', nil end
  if not found then
    -- A dry run begins nothing: an epoch that is not written down must not be learned either.
    if is_dry then return '', known ~= '' and 0 or nil end
    found = at .. string.format('%03d', redis.call('TIME')[2] % 1000)
    redis.call('SET', key, found)
  end
  if not string.match(found, '^%d+$') or #found > 17 then unreadable() end
  local age = at - math.floor(tonumber(found) / 1000)
  if known == '' or age >= DAY_MS then return found, nil end
  return known == found .. '-' and '' or found .. '-', age
end

-- Indexes of the windows that reach back before the store's beginning.
local function unknown_of(windows, age)
  local found = {}
  for index, one in ipairs(windows) do
    if age < (one.span > 0 and one.span or DAY_MS) then found[#found + 1] = index - 1 end
  end
  return table.concat(found, ' ')
end

-- Whether the call is refused for one of these indexes: then nothing may be taken for it.
local function is_refused(unknown, strict)
  for index in string.gmatch(unknown, '%d+') do
    if string.sub(strict, index + 1, index + 1) == '1' then return true end
  end
  return false
end

-- What answers this digest now: its id and state, or nothing.
local function pointed(key, at)
  local text = redis.call('GET', key)
  if not text then return nil end
  local id, state, ends = string.match(text, '^(%S+) ([PAD]) (%d+)$')
  if not id then unreadable() end
  if tonumber(ends) <= at then return nil end
  return id, state
end

-- Positions of the grants that stand in, one for each rule; nil when a rule has none.
local function granted_of(argv, next_arg, rules, grant_keys, at)
  if rules == 0 then return nil end
  local chosen, seen = {}, {}
  for _ = 1, rules do
    local many, has_one = tonumber(argv[next_arg]), false
    next_arg = next_arg + 1
    demand(is_whole(many, (#argv + 1 - next_arg) / 3))
    for _ = 1, many do
      local place, maximum = tonumber(argv[next_arg]), tonumber(argv[next_arg + 1])
      local expires = tonumber(argv[next_arg + 2])
      next_arg = next_arg + 3
      if not has_one and (expires == 0 or at < expires) then
        local used = number_of(redis.call('GET', grant_keys[place]), 0)
        if maximum == 0 or used < maximum then
          has_one = true
          if not seen[place] then
            seen[place] = true
            chosen[#chosen + 1] = { place = place, expires = expires }
          end
        end
      end
    end
    if not has_one then return nil end
  end
  return chosen
end

local function places_of(chosen)
  local places = {}
  for index, one in ipairs(chosen) do places[index] = one.place - 1 end
  return table.concat(places, ' ')
end

-- KEYS: epoch, [pointer], (cells, leases) of each window, cells of each loop, grants.
-- ARGV: known epoch, dry, digest, lease, numbers of windows, loops and rules, a 1 for each window
-- that refuses when its past is lost (else 0); of each window and loop maximum, span, idle; of each
-- rule how many grants, and of each place, maximum, expiry.
local function observe(keys, argv)
  local at = now()
  local is_dry, digest, lease = argv[2] == '1', argv[3], tonumber(argv[4])
  local count, loops, rules = tonumber(argv[5]), tonumber(argv[6]), tonumber(argv[7])
  demand(#keys <= MOST_KEYS and #argv <= MOST_WORDS and is_whole(count, MOST_WINDOWS)
    and is_whole(loops, MOST_WINDOWS - count) and is_whole(rules, MOST_KEYS)
    and 1 + (digest ~= '' and 1 or 0) + 2 * count + loops <= #keys
    and 8 + 3 * (count + loops) + rules <= #argv)
  local learned, age = epoch(keys[1], argv[1], is_dry, at)
  local next_key, next_arg, id, state = 2, 9, nil, nil
  if digest ~= '' then
    id, state = pointed(keys[2], at)
    next_key = 3
  end
  if state == 'D' then return { DENIED, 0, 0, id, '', '', learned } end
  local windows, repeats, grants = {}, {}, {}
  for index = 1, count do
    windows[index] = look(keys[next_key], keys[next_key + 1], argv[next_arg],
      argv[next_arg + 1], argv[next_arg + 2], digest, at)
    next_key, next_arg = next_key + 2, next_arg + 3
  end
  local spent = full(windows)
  if spent then
    return { SPENT, spent - 1, retry_after(windows[spent], digest, at), '', '', '', learned }
  end
  for index = next_key + loops, #keys do grants[#grants + 1] = keys[index] end
  local chosen = granted_of(argv, next_arg + 3 * loops, rules, grants, at)
  for index = 1, loops do
    if not id or chosen then
      repeats[index] = look(keys[next_key], nil, argv[next_arg], argv[next_arg + 1],
        argv[next_arg + 2], '', at)
    end
    next_key, next_arg = next_key + 1, next_arg + 3
  end
  local looped = full(repeats)
  if looped then
    return { REPEATED, looped - 1, retry_after(repeats[looped], '', at), '', '', '', learned }
  end
  local unknown = age and unknown_of(windows, age) or ''
  if not is_dry and not is_refused(unknown, argv[8]) then
    for _, one in ipairs(windows) do
      if digest == '' or chosen then stamp(one, digest, at) else reserve(one, digest, lease, at) end
    end
    for _, one in ipairs(repeats) do stamp(one, '', at) end
    for _, one in ipairs(chosen or {}) do
      redis.call('INCR', grants[one.place])
      keep(grants[one.place], one.expires > 0 and one.expires - at or 0)
    end
  end
  if chosen then return { GRANTED, 0, 0, '', unknown, places_of(chosen), learned } end
  if id then
    return { state == 'A' and APPROVED or PENDING, 0, 0, id, unknown, '', learned }
  end
  if unknown == '' and learned == '' then return ADMITTED end
  return { ADMITTED, 0, 0, '', unknown, '', learned }
end

-- KEYS: (cells, leases) of each window. ARGV: digest; of each window maximum, span, idle.
local function give_back(keys, argv)
  local at = now()
  demand(#keys <= 2 * MOST_WINDOWS and 2 * #argv == 2 + 3 * #keys)
  for index = 1, #keys, 2 do
    local arg = (index - 1) / 2 * 3 + 2
    local one = look(keys[index], keys[index + 1], argv[arg], argv[arg + 1], argv[arg + 2],
      argv[1], at)
    if one.leased > 0 and redis.call('ZREM', one.leases, argv[1]) == 1 then
      forget(one, at)
      one.leased = redis.call('ZCARD', one.leases)
      lapse(one, at)
    end
  end
  return DONE
end

---------------------------------------------------------------------------------- requests

-- A zset of ids until when: drop what is over, and the key with its last one.
local function sweep(key, at)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', at)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
  if last then keep(key, tonumber(last) - at) end
end

-- Arguments are bounded by their sum: `sizes` and `bytes` lapse together with the last of them.

local function size_of(member)
  local digits = string.match(string.sub(member, -MOST_DIGITS), ' (%d+)$')
  return tonumber(digits or 0)
end

local function add(bytes, many)
  local sum = math.max(0, tonumber(redis.call('GET', bytes) or 0) + many)
  redis.call('SET', bytes, sum, 'KEEPTTL')
end

local function sweep_sizes(sizes, bytes, at)
  local sum = 0
  local over = redis.call('ZRANGE', sizes, '-inf', at, 'BYSCORE', 'LIMIT', 0, MOST_REQUESTS)
  for _, member in ipairs(over) do sum = sum + size_of(member) end
  if sum > 0 then add(bytes, -sum) end
  sweep(sizes, at)
  local last = redis.call('ZRANGE', sizes, -1, -1, 'WITHSCORES')[2]
  if last then keep(bytes, tonumber(last) - at) else redis.call('DEL', bytes) end
end

local function let_arguments_go(request, sizes, bytes, id)
  local size = redis.call('HGET', request, 's')
  if not size then return end
  if #size > MOST_DIGITS then unreadable() end
  redis.call('HDEL', request, 'a', 's')
  if redis.call('ZREM', sizes, id .. ' ' .. size) == 1 then add(bytes, -tonumber(size)) end
end

-- The ids of requests whose arguments are too much: closed, the longest closed first.
local function surplus(sizes, bytes, at)
  local found, over = {}, tonumber(redis.call('GET', bytes) or 0) - MOST_BYTES
  if over <= 0 then return found end
  local closed = redis.call('ZRANGE', sizes, '-inf', at + DAY_MS, 'BYSCORE', 'LIMIT', 0, 100)
  for _, member in ipairs(closed) do
    if over <= 0 then break end
    found[#found + 1] = string.match(member, '^%S+')
    over = over - size_of(member)
  end
  return found
end

-- Fail before anything is written when one of the keys of `write` is not of its kind.
local function check(keys)
  redis.call('GET', keys[1])
  redis.call('HLEN', keys[2])
  for index = 3, 6 do redis.call('ZCARD', keys[index]) end
  if not string.match(redis.call('GET', keys[7]) or '0', '^%d+$') then unreadable() end
end

-- Write a request and all that is looked up of it.
-- KEYS: pointer, request, requests, pending, pending of its pod, sizes, bytes.
-- `state` is what its digest is answered by, or `-`; `ends` until when.
local function write(keys, id, version, text, state, ends, kept, at)
  redis.call('HSET', keys[2], 'v', version, 't', text)
  keep(keys[2], kept - at)
  redis.call('ZADD', keys[3], kept, id)
  sweep(keys[3], at)
  local size = redis.call('HGET', keys[2], 's')
  if size then redis.call('ZADD', keys[6], kept, id .. ' ' .. size) end
  sweep_sizes(keys[6], keys[7], at)
  for index = 4, 5 do
    if state == 'P' then
      redis.call('ZADD', keys[index], ends, id)
    else
      redis.call('ZREM', keys[index], id)
    end
    sweep(keys[index], at)
  end
  local pointer = redis.call('GET', keys[1])
  local is_ours = not pointer or string.sub(pointer, 1, #id + 1) == id .. ' '
  if state ~= '-' and ends > at and (is_ours or state == 'P') then
    redis.call('SET', keys[1], id .. ' ' .. state .. ' ' .. ends)
    keep(keys[1], ends - at)
  elseif pointer and is_ours then
    redis.call('DEL', keys[1])
  end
end

-- KEYS: as `write`. ARGV: id, text, when it was written, until when it is pending and kept, how
-- many may be pending of a pod and in all, channel, arguments.
-- Answers the id that is open now, those that are one too many, and those whose arguments are:
-- closed longest ago.
local function open(keys, argv)
  local at, id = now(), argv[1]
  if is_late(argv[3]) then return { LATE, at } end
  check(keys)
  local before = pointed(keys[1], at)
  if before then return { DONE, before } end
  if redis.call('ZCOUNT', keys[5], '(' .. at, '+inf') >= tonumber(argv[6]) then
    return { FULL, 'Pod' }
  end
  if redis.call('ZCOUNT', keys[4], '(' .. at, '+inf') >= tonumber(argv[7]) then
    return { FULL, 'Namespace' }
  end
  redis.call('HSET', keys[2], 'a', argv[9], 's', #argv[9])
  if redis.call('ZCARD', keys[6]) == 0 then redis.call('DEL', keys[7]) end
  add(keys[7], #argv[9])
  write(keys, id, 1, argv[2], 'P', tonumber(argv[4]), tonumber(argv[5]), at)
  redis.call('PUBLISH', argv[8], id)
  local many = math.min(redis.call('ZCARD', keys[3]) - MOST_REQUESTS, 100)
  local gone = many > 0 and redis.call('ZRANGE', keys[3], 0, many - 1) or {}
  return { DONE, id, gone, surplus(keys[6], keys[7], at) }
end

-- KEYS: sizes, bytes, then requests one by one. ARGV: their ids.
local function shorten(keys, argv)
  demand(#argv <= MOST_TOGETHER and #keys == #argv + 2)
  redis.call('ZCARD', keys[1])
  for index, id in ipairs(argv) do let_arguments_go(keys[index + 2], keys[1], keys[2], id) end
  return DONE
end

-- KEYS: sizes, bytes, requests, then requests one by one. ARGV: their ids.
local function forget_requests(keys, argv)
  demand(#argv <= MOST_TOGETHER and #keys == #argv + 3)
  redis.call('ZREM', keys[3], unpack(argv))
  for index, id in ipairs(argv) do
    let_arguments_go(keys[index + 3], keys[1], keys[2], id)
    redis.call('DEL', keys[index + 3])
  end
  return DONE
end

-- KEYS: as `write`, then (cells, leases) of each window to stamp.
-- ARGV: id, version before and after, text, when it was worked out, state, until when it answers
-- and is kept, channel, digest; of each window maximum, span, idle.
local function exchange(keys, argv)
  local at, id, windows = now(), argv[1], {}
  if is_late(argv[5]) then return { LATE, at } end
  demand(#keys <= 7 + 2 * MOST_WINDOWS and 2 * (#argv - 10) == 3 * (#keys - 7))
  check(keys)
  if redis.call('HGET', keys[2], 'v') ~= argv[2] then return { OTHERWISE } end
  for index = 8, #keys, 2 do
    local arg = 11 + (index - 8) / 2 * 3
    windows[#windows + 1] = look(keys[index], keys[index + 1], argv[arg], argv[arg + 1],
      argv[arg + 2], argv[10], at)
  end
  for index, one in ipairs(windows) do
    if not one.is_own and one.taken >= one.maximum then return { FULL, index - 1 } end
  end
  for _, one in ipairs(windows) do stamp(one, argv[10], at) end
  write(keys, id, argv[3], argv[4], argv[6], tonumber(argv[7]), tonumber(argv[8]), at)
  redis.call('PUBLISH', argv[9], id)
  return { DONE }
end

-- KEYS: grants. Answers how often each was used.
local function used(keys)
  local found = {}
  demand(#keys <= MOST_KEYS)
  for index, key in ipairs(keys) do
    local many = redis.call('GET', key) or '0'
    if #many > MOST_DIGITS then unreadable() end
    found[index] = tonumber(many)
  end
  return found
end

-- KEYS: requests. Answers the ids of all that are kept.
local function listing(keys)
  sweep(keys[1], now())
  return redis.call('ZRANGE', keys[1], -2 * MOST_REQUESTS, -1)
end

-- KEYS: requests one by one. ARGV: how many bytes are enough.
-- Answers the time, then of each its text and its arguments, until it is enough.
local function read(keys, argv)
  local found, left = { now() }, math.min(tonumber(argv[1]), MOST_BYTES)
  demand(#keys <= MOST_TOGETHER)
  for _, key in ipairs(keys) do
    if left <= 0 then break end
    local text = redis.call('HGET', key, 't')
    local arguments = redis.call('HGET', key, 'a')
    found[#found + 1] = text
    found[#found + 1] = arguments
    left = left - #(text or '') - #(arguments or '')
  end
  return found
end

---------------------------------------------------------------------------------- standing

-- KEYS: standing. ARGV: name, text, channel, how many there may be.
-- Answers when it was made; 0 = the name is taken, -1 = there are too many.
local function stand(keys, argv)
  local at = now()
  if redis.call('HEXISTS', keys[1], argv[1]) == 1 then return 0 end
  if redis.call('HLEN', keys[1]) >= tonumber(argv[4]) then return -1 end
  redis.call('HSET', keys[1], argv[1], at .. ' ' .. argv[2])
  redis.call('PUBLISH', argv[3], '')
  return at
end

-- KEYS: standing. ARGV: name, channel. Answers what it was.
local function fall(keys, argv)
  local text = redis.call('HGET', keys[1], argv[1])
  if not text then return false end
  redis.call('HDEL', keys[1], argv[1])
  redis.call('PUBLISH', argv[2], '')
  return text
end

-- KEYS: standing. Answers names and texts in turn.
local function standing(keys)
  -- None may be left out: it may be a veto.
  if redis.call('HLEN', keys[1]) > MOST_KEYS then unreadable() end
  return redis.call('HGETALL', keys[1])
end

---------------------------------------------------------------------------------- deliveries

-- The version that is there; nothing when it is none of ours. What is no hash is taken away.
local function version_of(key)
  if redis.call('TYPE', key).ok ~= 'hash' then
    redis.call('DEL', key)
    return nil
  end
  local found = redis.call('HGET', key, 'v')
  return found and #found <= 15 and string.match(found, '^%d+$')
end

-- KEYS: bundle or overlay. ARGV: version, envelope, channel, 1 = whatever is there now.
-- Answers 1 = it is there now, 0 = the same version or a higher one was.
local function deliver(keys, argv)
  local before = version_of(keys[1])
  if before and argv[4] ~= '1' and tonumber(before) >= tonumber(argv[1]) then return 0 end
  redis.call('DEL', keys[1])
  redis.call('HSET', keys[1], 'v', argv[1], 't', argv[2])
  redis.call('PUBLISH', argv[3], argv[1])
  return 1
end

-- KEYS: bundles and overlays. Answers of each its version, and size and SHA-1 of its envelope.
local function delivered(keys)
  local found = {}
  for _, key in ipairs(keys) do
    local version = version_of(key)
    local text = version and redis.call('HGET', key, 't') or ''
    found[#found + 1] = version or ''
    found[#found + 1] = #text
    found[#found + 1] = redis.sha1hex(text)
  end
  return found
end

local function drop_reports(keys, from, to)
  local gone = redis.call('ZRANGE', keys[2], from, to, 'BYSCORE', 'LIMIT', 0, 1000)
  if #gone > 0 then
    redis.call('HDEL', keys[1], unpack(gone))
    redis.call('ZREM', keys[2], unpack(gone))
  end
end

-- Forget who reports no more, and everybody when the two keys disagree: they report again.
local function sweep_reports(keys, at)
  drop_reports(keys, '-inf', '(' .. at - REPORTED_MS)
  drop_reports(keys, '(' .. at + REPORTED_MS, '+inf')
  if redis.call('HLEN', keys[1]) ~= redis.call('ZCARD', keys[2]) then
    redis.call('DEL', keys[1], keys[2])
  end
end

-- KEYS: reports, seen. ARGV: pod uid, report.
local function report(keys, argv)
  local at = now()
  sweep_reports(keys, at)
  if #argv[2] > LONGEST_REPORT then return FULL end
  local is_known = redis.call('HEXISTS', keys[1], argv[1]) == 1
  if not is_known and redis.call('HLEN', keys[1]) >= MOST_REPORTS then return FULL end
  redis.call('HSET', keys[1], argv[1], argv[2])
  redis.call('ZADD', keys[2], at, argv[1])
  keep(keys[1], REPORTED_MS)
  keep(keys[2], REPORTED_MS)
  return DONE
end

-- KEYS: reports, seen. ARGV: how many bytes are enough.
-- Answers the time, then of each its pod's uid and its report, until it is enough.
local function reports(keys, argv)
  local at = now()
  sweep_reports(keys, at)
  local found, left = { at }, tonumber(argv[1])
  local uids = redis.call('ZRANGE', keys[2], 0, MOST_REPORTS - 1)
  -- The same ones each time, when not all fit.
  table.sort(uids)
  for _, uid in ipairs(uids) do
    local size = redis.call('HSTRLEN', keys[1], uid)
    if size <= LONGEST_REPORT and size <= left then
      found[#found + 1] = uid
      found[#found + 1] = redis.call('HGET', keys[1], uid)
      left = left - size
    end
  end
  return found
end

---------------------------------------------------------------------------------- audit

local HEADER = '^(%l+) ([a-z2-7]+) (%d+) (%d+) (%x+) (%d+) (%S+) (%S+) (%S+) (%S+)$'

local function add_segment(audit, text)
  local ends = string.find(string.sub(text, 1, LONGEST_HEADER), '\n', 1, true)
  local kind, chain, first, last, hash, records, uid, pod, key, signature
  if ends and #text <= LONGEST_SEGMENT then
    kind, chain, first, last, hash, records, uid, pod, key, signature =
      string.match(string.sub(text, 1, ends - 1), HEADER)
  end
  if not kind then return redis.call('XADD', audit, '*', 'x', #text) end
  return redis.call('XADD', audit, '*', 'k', kind, 'c', chain, 'n', first, 'm', last, 'h', hash,
    'r', records, 'u', uid, 'p', pod, 'y', key, 's', signature, 'b', string.sub(text, ends + 1))
end

-- Move what was appended. KEYS: inbox, audit. ARGV: how many segments and bytes are enough.
-- Answers how many were moved, and how many are left.
local function gather(keys, argv)
  local moved, left = 0, tonumber(argv[2])
  if redis.call('TYPE', keys[1]).ok == 'list' then
    while moved < math.min(tonumber(argv[1]), MOST_SEGMENTS) and left > 0 do
      local text = redis.call('LPOP', keys[1])
      if not text then break end
      add_segment(keys[2], text)
      moved, left = moved + 1, left - #text
    end
  end
  return { moved, moved > 0 and redis.call('LLEN', keys[1]) or 0 }
end

-- Forget both where nothing lies. KEYS: inbox, audit. Answers 1 = done, 0 = something lies there.
local function forget_empty(keys)
  if redis.call('LLEN', keys[1]) > 0 or redis.call('XLEN', keys[2]) > 0 then return 0 end
  redis.call('DEL', keys[1], keys[2])
  return 1
end

-- KEYS: audit. ARGV: where to begin, where to end, 1 = from the end, how many segments and bytes
-- are enough. Answers ids and fields, as XRANGE does: one more than is enough of the bytes.
local function segments(keys, argv)
  local command, from, to = 'XRANGE', argv[1], argv[2]
  if argv[3] == '1' then command, from, to = 'XREVRANGE', to, from end
  local found, left = {}, tonumber(argv[5])
  while #found < math.min(tonumber(argv[4]), MOST_SEGMENTS) and left > 0 do
    local one = redis.call(command, keys[1], from, to, 'COUNT', 1)[1]
    if not one then break end
    found[#found + 1] = one
    for _, field in ipairs(one[2]) do left = left - #field end
    from = '(' .. one[1]
  end
  return found
end

redis.register_function('@LIBRARY@_observe', observe)
redis.register_function('@LIBRARY@_give_back', give_back)
redis.register_function('@LIBRARY@_open', open)
redis.register_function('@LIBRARY@_shorten', shorten)
redis.register_function('@LIBRARY@_forget', forget_requests)
redis.register_function('@LIBRARY@_exchange', exchange)
redis.register_function('@LIBRARY@_used', used)
redis.register_function('@LIBRARY@_listing', listing)
redis.register_function('@LIBRARY@_read', read)
redis.register_function('@LIBRARY@_stand', stand)
redis.register_function('@LIBRARY@_fall', fall)
redis.register_function('@LIBRARY@_standing', standing)
redis.register_function('@LIBRARY@_report', report)

-- A tenant that fills the memory must not keep a veto from travelling.
local function register_for_operator(name, callback)
  redis.register_function({ function_name = name, callback = callback, flags = { 'allow-oom' } })
end

register_for_operator('@LIBRARY@_deliver', deliver)
register_for_operator('@LIBRARY@_delivered', delivered)
register_for_operator('@LIBRARY@_reports', reports)
register_for_operator('@LIBRARY@_gather', gather)
register_for_operator('@LIBRARY@_forget_empty', forget_empty)
register_for_operator('@LIBRARY@_segments', segments)
