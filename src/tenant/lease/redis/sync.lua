-- `Record::sync`, to the letter: one request to one tenant's record. Everything is decided before anything is written,
-- because what a script has written before it fails stays written.
--
-- Numbers are doubles, exact below 2^53 only. Figures that reach it are an error; epochs are compared as they are written,
-- and incarnations and sequences, always of 20 digits, in two halves.
local EXACT = 9007199254740992
-- In microseconds, as all times.
local TOMBSTONE = 3600 * 1000000
local SHARE_OF_FREE = 8

local key = KEYS[1]
local request = {
    node = ARGV[1],
    incarnation = ARGV[2],
    sequence = ARGV[3],
    epoch = ARGV[4],
    share = tonumber(ARGV[5]),
    floor = tonumber(ARGV[6]),
    wanted = tonumber(ARGV[7]),
    chunk = tonumber(ARGV[8]),
    limit = ARGV[9],
    ttl = tonumber(ARGV[10]),
    reap_after = tonumber(ARGV[11]),
    seed_epoch = ARGV[12],
    seed_used = ARGV[13],
    seed_measured = ARGV[14],
    leave = ARGV[15] == '1',
    now = tonumber(ARGV[16]),
}

-- Engines differ in what they make of an error on its way through `pcall`, so it goes beside it.
local failure
local function fail(text)
    failure = text
    error(text, 0)
end

local function call(...)
    local reply = redis.pcall(...)
    if type(reply) == 'table' and reply.err then
        -- Before Redis 7 some begin with the place.
        fail((string.gsub(reply.err, '^@user_script: %d+: %-', '')))
    end
    return reply
end

local function corrupt(what)
    fail('SGCORRUPT ' .. what)
end

local function exact(number)
    if number <= -EXACT or number >= EXACT then
        fail('SGRANGE a sum of stored bytes is 2^53 or more')
    end
    return number
end

local function written(number)
    return string.format('%.0f', number)
end

local function read(text, what)
    local number = text and string.match(text, '^%-?%d+$') and tonumber(text)
    if not number or number <= -EXACT or number >= EXACT then
        corrupt(what)
    end
    return number
end

local function is_later(a, b)
    local high_a, high_b = tonumber(string.sub(a, 1, 10)), tonumber(string.sub(b, 1, 10))
    if high_a ~= high_b then
        return high_a > high_b
    end
    return tonumber(string.sub(a, 11)) > tonumber(string.sub(b, 11))
end

local function read_node(text, name)
    local incarnation, sequence, share, hold, expires, gone =
        string.match(text, '^(%d+) (%d+) (%-?%d+) (%d+) (%d+) ([01])$')
    local what = 'the line of node ' .. name
    if not incarnation or #incarnation ~= 20 or #sequence ~= 20 then
        corrupt(what)
    end
    return {
        incarnation = incarnation,
        sequence = sequence,
        share = read(share, what),
        hold = read(hold, what),
        expires = read(expires, what),
        gone = gone == '1',
    }
end

local function write_node(node)
    return table.concat({
        node.incarnation,
        node.sequence,
        written(node.share),
        written(node.hold),
        written(node.expires),
        node.gone and '1' or '0',
    }, ' ')
end

local function read_record()
    local fields, nodes, are_any = {}, {}, false
    local flat = call('HGETALL', key)
    for i = 1, #flat, 2 do
        local name, value = flat[i], flat[i + 1]
        are_any = are_any or name ~= 'limit'
        if string.sub(name, 1, 5) == 'node:' then
            local node = string.sub(name, 6)
            nodes[node] = read_node(value, node)
        else
            fields[name] = value
        end
    end
    if not are_any then
        return nil, fields.limit
    end
    if not fields.epoch or not string.match(fields.epoch, '^%d+$') then
        corrupt('the epoch')
    elseif fields.measured ~= '0' and fields.measured ~= '1' then
        corrupt('whether it was measured')
    end
    return {
        epoch = fields.epoch,
        measured = fields.measured == '1',
        base = read(fields.base, 'the base'),
        quiet_until = read(fields.quiet_until, 'the end of the quiet time'),
        nodes = nodes,
    }, fields.limit
end

local function sum_of(record)
    local sum = record.base
    for _, node in pairs(record.nodes) do
        sum = exact(sum + node.share)
    end
    return sum
end

local function held(record)
    local sum = 0
    for _, node in pairs(record.nodes) do
        sum = math.min(sum + node.hold, EXACT)
    end
    return sum
end

local function run()
    local now = request.now
    if not now then
        local time = call('TIME')
        now = time[1] * 1000000 + time[2]
    end

    local record, limit = read_record()
    local set, removed = {}, {}
    local function change(field, value)
        set[#set + 1] = field
        set[#set + 1] = value
    end
    -- The additions first: an engine that is out of memory refuses them, and then nothing has changed.
    local function commit()
        for i = 1, #set, 1000 do
            call('HSET', key, unpack(set, i, math.min(i + 999, #set)))
        end
        for name in pairs(removed) do
            call('HDEL', key, 'node:' .. name)
        end
    end

    if not record then
        if request.seed_epoch == '' then
            return { 'unknown' }
        end
        local is_lost = request.share and request.seed_measured == '0'
        record = {
            epoch = request.seed_epoch,
            measured = request.seed_measured == '1',
            base = tonumber(request.seed_used),
            quiet_until = is_lost and now + request.ttl or 0,
            nodes = {},
        }
        change('epoch', record.epoch)
        change('measured', request.seed_measured)
        change('quiet_until', written(record.quiet_until))
        change('base', written(record.base))
    end
    limit = limit or request.limit
    -- Unlimited is what can be counted.
    local bound = limit == 'unlimited' and EXACT - 1 or read(limit, 'the limit')
    local base_before = record.base

    for name, node in pairs(record.nodes) do
        if node.gone and node.expires + TOMBSTONE <= now then
            record.nodes[name] = nil
            removed[name] = true
        end
    end
    local node = record.nodes[request.node]
    local is_same = node and node.incarnation == request.incarnation
    if node and is_later(node.incarnation, request.incarnation) then
        commit()
        return { 'superseded' }
    elseif is_same and not is_later(request.sequence, node.sequence) then
        commit()
        return { 'stale' }
    elseif is_same and node.gone then
        commit()
        return { 'forgotten' }
    end
    if request.epoch ~= '' and request.epoch ~= record.epoch and request.share then
        if record.measured then
            commit()
            return { 'reseeded', record.epoch }
        end
        -- Somebody who knew nothing made this record, and an older one was lost. Others may be still to report.
        record.quiet_until = math.max(record.quiet_until, now + request.ttl)
        change('quiet_until', written(record.quiet_until))
    end

    if not is_same then
        local share = node and exact(node.share + node.hold) or 0
        node = { incarnation = request.incarnation, share = share, gone = false }
        record.nodes[request.node] = node
    end
    if request.share then
        node.share = request.share
    end
    if request.leave then
        record.base = exact(record.base + node.share)
        node.share = 0
        node.gone = true
    end
    -- What the node holds is what is being decided.
    node.hold = 0
    removed[request.node] = nil

    local sum = sum_of(record)
    local stored = math.max(sum, 0)
    local free = math.max(bound - stored - held(record), 0)
    if request.wanted > free and request.reap_after then
        for name, other in pairs(record.nodes) do
            if name ~= request.node and not other.gone and other.expires <= now - request.reap_after then
                record.base = exact(record.base + other.share)
                other.share, other.hold, other.gone = 0, 0, true
                change('node:' .. name, write_node(other))
            end
        end
        free = math.max(bound - stored - held(record), 0)
    end
    local held_elsewhere = held(record)
    local is_quiet = now < record.quiet_until
    if request.leave then
        node.hold = 0
    elseif request.wanted > free or is_quiet then
        node.hold = request.floor
    else
        local ahead = math.floor((free - request.wanted) / SHARE_OF_FREE)
        node.hold = request.wanted + math.min(request.chunk, ahead)
    end
    node.sequence = request.sequence
    node.expires = now + request.ttl
    change('node:' .. request.node, write_node(node))
    if record.base ~= base_before then
        change('base', written(record.base))
    end
    commit()
    return {
        'synced',
        node.hold,
        node.share,
        sum,
        held_elsewhere,
        is_quiet and 1 or 0,
        limit,
        record.epoch,
    }
end

local is_done, reply = pcall(run)
if is_done then
    return reply
elseif failure then
    return { err = failure }
end
error(reply, 0)
