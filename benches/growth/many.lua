-- Requests of a file, one after the other: `wrk -s many.lua URL -- FILE`. A line has method, path, headers and body,
-- with tabs between; headers with `\r\n` between.

local requests, at = {}, 0

function init(args)
    for line in io.lines(args[1]) do
        local method, path, headers, body = line:match("([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)")
        local named = {}
        for name, value in (headers:gsub("\\r\\n", "\n")):gmatch("([^:\n]+): ([^\n]+)") do
            named[name] = value
        end
        table.insert(requests, wrk.format(method, path, named, body ~= "" and body or nil))
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\nMEASURED {"requests": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, "failed": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
