-- What wrk sends. `wrk -s load.lua URL -- METHOD BODY_FILE TOKENS_FILE`: the method, a file with the body or `-`, a file with one
-- refresh token a line or `-`. With tokens each is sent once, and the one that is answered takes its place.

local tokens, unexpected = {}, 0

function init(args)
    wrk.method = args[1]
    if args[2] ~= "-" then
        wrk.body = io.open(args[2]):read("*a")
    end
    if args[3] ~= "-" then
        for line in io.lines(args[3]) do
            table.insert(tokens, 1, line)
        end
        request = refresh
        response = keep
    end
    prepared = wrk.format()
end

function refresh()
    local token = table.remove(tokens)
    return wrk.format("POST", nil, nil, '{"refresh_token":"' .. token .. '"}')
end

-- The oldest first: the one that is taken next was answered long ago.
function keep(status, headers, body)
    local token = body:match('"refresh_token":"([^"]+)"')
    if token then
        table.insert(tokens, 1, token)
    end
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\nMEASURED {"requests": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "failed": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
