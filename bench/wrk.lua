-- The requests wrk sends: `read` gets a path whose %d is one of so many numbers in turn, `place` places one new order
-- after another at the shop, `ask` posts a request of GraphQL, and `change` one whose %s and Idempotency-Key are new.
-- Arguments: the kind, how many numbers, the path or the prefix of the orders' names, and the body of an order with %s
-- for its name.

local kind, count, text, body
local headers = { ["Content-Type"] = "application/json" }
local sent = 0

function init(arguments)
  kind, count, text, body = arguments[1], tonumber(arguments[2]), arguments[3], arguments[4]
end

function request()
  sent = sent + 1
  if kind == "read" then
    return wrk.format("GET", string.format(text, sent % count))
  end
  if kind == "ask" or kind == "change" then
    local asked = string.gsub(string.gsub(body, "%%s", text .. sent), "%%d", tostring(sent % count))
    headers["Idempotency-Key"] = kind == "change" and (text .. sent) or nil
    return wrk.format("POST", "/graphql", headers, asked)
  end
  return wrk.format("POST", "/orders", headers, string.format(body, text .. sent))
end
