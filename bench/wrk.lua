-- The requests wrk sends to the shop: `read` gets existing orders, `place` places one new order after another.
-- Arguments: the kind, the number of existing orders, the prefix of their names, and the body of an order with %s for
-- its name.

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
