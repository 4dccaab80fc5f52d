-- Asks Jeton about each request: sets the headers that your API reads, or answers with Jeton's refusal.
-- A fault in here is a 500: nothing passes without Jeton.

local http  = require "socket.http"
local ltn12 = require "ltn12"

local JETON = "http://127.0.0.1:8080"

-- What Jeton reads of a request. Add the header of your API keys if it is another one.
local ASKED = { "Authorization", "X-API-Key", "X-Tenant-ID", "X-Request-ID", "User-Agent" }
-- What Jeton says to your API, whatever the client sent under these names.
local ADMITTED = { "Authorization", "X-Tenant-ID", "X-Auth-Subject", "X-Auth-Scope", "X-Request-ID" }
-- What it says to the client.
local TOLD = { "RateLimit", "RateLimit-Policy", "Deprecation", "Sunset" }
local REFUSED = { "X-Request-ID", "WWW-Authenticate", "Retry-After", "Cache-Control",
                  "RateLimit", "RateLimit-Policy", "Deprecation", "Sunset" }
-- What your API never gets: the API key, and ways to ask Jeton about one path or method and your API for another.
local WITHHELD = { "X-API-Key", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Original-Method", "X-Original-URI",
                   "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override" }

local AWAY = '{"type":"urn:jeton:problem:unavailable","title":"Service Unavailable","status":503,'
    .. '"detail":"Authorization is not available","code":"unavailable","error":"Authorization is not available",'
    .. '"request_id":"%s"}'

http.TIMEOUT = 5

-- The question: some headers of the request, without its body.
local function question(r)
    local headers = {
        ["X-Original-Method"] = r.method,
        ["X-Original-URI"] = r.unparsed_uri,
    }
    for _, name in ipairs(ASKED) do
        headers[name] = r.headers_in[name]
    end
    local before = r.headers_in["X-Forwarded-For"]
    headers["X-Forwarded-For"] = (before and before .. ", " or "") .. r.useragent_ip
    return headers
end

local function refuse(r, status, headers, body)
    for _, name in ipairs(REFUSED) do
        r.err_headers_out[name] = headers[name:lower()]
    end
    r.status = status
    r.content_type = "application/problem+json"
    r:write(body)
    return apache2.DONE
end

-- Jeton is away, and nothing passes without it.
local function refuse_for_now(r)
    local id = r:sha1(r:clock() .. r.useragent_ip .. tostring(r)):sub(1, 32)
    return refuse(r, 503, { ["x-request-id"] = id, ["retry-after"] = "1", ["cache-control"] = "no-store" }, AWAY:format(id))
end

local function admit(r, headers)
    for name in pairs(r:headers_in_table()) do
        -- Many an API takes `X_Tenant_ID` for `X-Tenant-ID`.
        if name:find("_", 1, true) then
            r.headers_in[name] = nil
        end
    end
    for _, name in ipairs(WITHHELD) do
        r.headers_in[name] = nil
    end
    -- It could name headers that mod_proxy is to take away.
    r.headers_in["Connection"] = nil
    for _, name in ipairs(ADMITTED) do
        r.headers_in[name] = headers[name:lower()]
    end
    for _, name in ipairs(TOLD) do
        r.err_headers_out[name] = headers[name:lower()]
    end
    return apache2.OK
end

function ask_jeton(r)
    local to_jeton = "proxy:" .. JETON .. "/"
    if (r.filename or ""):sub(1, #to_jeton) == to_jeton then
        return apache2.OK
    end

    local body = {}
    local done, status, headers = http.request {
        url = JETON .. "/api/v1/auth/forward",
        headers = question(r),
        sink = ltn12.sink.table(body),
        redirect = false,
    }
    if not done then
        r:err("Jeton does not answer: " .. status)
        return refuse_for_now(r)
    end
    if status == 200 then
        return admit(r, headers)
    end
    return refuse(r, status, headers, table.concat(body))
end
