-- The requests wrk sends: `read` gets a path whose %d is one of so many numbers in turn, `place` places one new order
-- after another at the shop.
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
  return wrk.format("POST", "/orders", headers, string.format(body, text .. sent))
end
