-- What wrk sends to the shop: `read` looks at orders that are there, `place` places one new order after the other.
-- Called with: the kind, how many orders are there, how their names begin, and the body of an order with %s for its name.

local kind, orders, prefix, body
local headers = { ["Content-Type"] = "application/json" }
local sent = 0

function init(arguments)
  kind, orders, prefix, body = arguments[1], tonumber(arguments[2]), arguments[3], arguments[4]
end

function request()
  sent = sent + 1
  if kind == "read" then
    return wrk.format("GET", "/orders/" .. prefix .. (sent % orders))
  end
  return wrk.format("POST", "/orders", headers, string.format(body, prefix .. sent))
end
