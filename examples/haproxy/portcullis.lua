-- Asks Portcullis about a request: may it pass, and whose is it?
--
--     http-request lua.portcullis http://127.0.0.1:8096/validate_request/haproxy
--
-- After a yes the identity headers are set and the variable `txn.portcullis_allowed` is true. After a no the client
-- gets the answer of Portcullis. What is neither is denied with 503.
--
-- HAProxy goes on to the next rule when a script breaks off. So the configuration must deny, behind this line, what the
-- variable does not allow. HAProxy's own HTTP client asks the question, which needs HAProxy 2.6 or newer and Lua 5.3.
-- That client asks again, up to three times, where no answer comes in time. So the address is a `listen` of this HAProxy,
-- which gives up earlier and does not ask again: `listen gates` in haproxy.cfg.

-- All identity headers of an answer. HAProxy knows names of headers in lower case alone.
local IDENTITY = {
    "x-auth-user",
    "x-auth-username",
    "x-auth-email",
    "x-auth-scopes",
    "x-auth-roles",
    "x-auth-session",
    "x-auth-issuer",
}

-- The client's headers that Portcullis reads. No other can disturb the question.
local ASKED = {
    "authorization",
    "cookie",
    "x-api-key",
    "dpop",
    "x-request-id",
    "origin",
    "access-control-request-method",
    "accept",
    "content-type",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "x-requested-with",
    "user-agent",
    "sec-websocket-version",
    "sec-websocket-protocol",
}

-- The headers of a denial that the client gets.
local SHOWN = {
    "cache-control",
    "content-type",
    "grpc-message",
    "grpc-status",
    "location",
    "retry-after",
    "vary",
    "www-authenticate",
}

-- The proof that a gateway asks, from HAProxy's environment, where Portcullis has a GATEWAY_SECRET too.
local SECRET = os.getenv("GATEWAY_SECRET")

-- Longer than `timeout connect` and `timeout server` of `listen gates` together. In milliseconds.
local TIMEOUT = 3000

-- The headers of the question. What describes the request comes from HAProxy and never from the client.
local function question(txn)
    local sent, headers = txn.http:req_get_headers(), {}
    for _, name in ipairs(ASKED) do
        headers[name] = sent[name]
    end
    local is_tls = txn.f:ssl_fc()
    local told = {
        ["x-original-method"] = txn.f:method(),
        -- fhdr is the whole line; hdr would take the last part of `Host: a, b`.
        ["x-original-host"] = txn.f:req_fhdr("host"),
        ["x-original-uri"] = txn.f:pathq(),
        ["x-original-proto"] = (is_tls == true or is_tls == 1) and "https" or "http",
        ["x-forwarded-for"] = txn.f:src(),
        ["x-portcullis-gateway"] = SECRET,
    }
    for name, value in pairs(told) do
        headers[name] = { value }
    end
    return headers
end

local function ask(txn, url)
    return core.httpclient():get({ url = url, headers = question(txn), timeout = TIMEOUT })
end

-- The one value of a header, or nil. HAProxy counts values from 0.
local function only(values)
    if values ~= nil and values[1] == nil then
        return values[0]
    end
    return nil
end

-- The values of all identity headers, or nil where one is missing: Portcullis sends each, empty or not.
local function identity_of(answer)
    local identity = {}
    for _, name in ipairs(IDENTITY) do
        local value = only(answer.headers[name])
        if value == nil then
            return nil
        end
        identity[name] = value
    end
    return identity
end

local function pass(txn, identity)
    for name, value in pairs(identity) do
        if value == "" then
            txn.http:req_del_header(name)
        else
            txn.http:req_set_header(name, value)
        end
    end
    txn:set_var("txn.portcullis_allowed", true)
end

local function denial(txn, answer)
    local reply = txn:reply({ status = answer.status })
    for _, name in ipairs(SHOWN) do
        local value = only(answer.headers[name])
        if value ~= nil then
            reply:add_header(name, value)
        end
    end
    reply:set_body(answer.body or "")
    return reply
end

local function unavailable(txn, why)
    txn:Warning("portcullis: " .. why)
    local body = '{"error":"unavailable","error_description":"nobody can be let in just now"}\n'
    local reply = txn:reply({ status = 503, body = body })
    reply:add_header("content-type", "application/json")
    reply:add_header("cache-control", "no-store")
    return reply
end

-- Judges the request; the reply that ends it, or nil where it may pass.
local function judge(txn, url)
    local answer = ask(txn, url)
    local status = answer.status or 0
    if status == 200 then
        local identity = identity_of(answer)
        if identity == nil then
            return unavailable(txn, "a 200 without an identity is no answer of Portcullis")
        end
        return pass(txn, identity)
    end
    if (status >= 300 and status < 500) or (status == 503 and only(answer.headers["retry-after"])) then
        return denial(txn, answer)
    end
    return unavailable(txn, "no answer, or one of status " .. status)
end

core.register_action("portcullis", { "http-req" }, function(txn, url)
    local is_judged, reply = pcall(judge, txn, url)
    if not is_judged then
        reply = unavailable(txn, tostring(reply))
    end
    -- `done` leaves this function by an error of its own, which no pcall may catch.
    if reply ~= nil then
        txn:done(reply)
    end
end, 1)
