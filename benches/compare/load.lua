-- What wrk sends. `wrk -s load.lua URL -- METHOD BODY_FILE TOKENS_FILE`: the method, a file with the body or `-`, a file with one
-- refresh token a line or `-`. With tokens each is sent once, and the one that is answered takes its place; those that are left at
-- the end are in the file then.

file, tokens, first, last = "", {}, 1, 0
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    wrk.method = args[1]
    if args[2] ~= "-" then
        wrk.body = io.open(args[2]):read("*a")
    end
    if args[3] ~= "-" then
        file = args[3]
        for line in io.lines(file) do
            put(line)
        end
        request = refresh
        response = keep
    end
    prepared = wrk.format()
end

function put(token)
    last = last + 1
    tokens[last] = token
end

function refresh()
    local token = tokens[first]
    tokens[first] = nil
    first = first + 1
    return wrk.format("POST", nil, nil, '{"refresh_token":"' .. token .. '"}')
end

-- Behind all others: the one that is taken next was answered long ago.
function keep(status, headers, body)
    local token = body:match('"refresh_token":"([^"]+)"')
    if token then
        put(token)
    end
end

function done(summary, latency)
    for _, thread in ipairs(threads) do
        local file, tokens = thread:get("file"), thread:get("tokens")
        if file ~= "" then
            local left = io.open(file, "w")
            for at = thread:get("first"), thread:get("last") do
                left:write(tokens[at], "\n")
            end
            left:close()
        end
    end
    local e = summary.errors
    io.write(string.format(
        '\nMEASURED {"requests": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "failed": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
