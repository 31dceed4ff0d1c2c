-- Arguments after `--`: method, bytes of the body, "close" or "keep", number of hosts, routes of each.
-- The requests are built before the load: one, or one for every host, each to a route of its own.
-- The summary is one line of JSON.
local requests = {}
local sent = 0

function init(args)
  wrk.method = args[1]
  if tonumber(args[2]) > 0 then
    wrk.body = string.rep("x", tonumber(args[2]))
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  if args[3] == "close" then wrk.headers["Connection"] = "close" end
  local hosts, routes = tonumber(args[4]), tonumber(args[5])
  if hosts == 0 then return end
  for i = 0, hosts - 1 do
    -- 7919 is prime: neighbours in time are no neighbours in the config.
    local host = i * 7919 % hosts
    wrk.headers["Host"] = "s" .. host .. ".example"
    requests[i] = wrk.format(nil, "/r" .. host % routes .. "/small")
  end
  -- Without this function wrk sends the one request that it has built.
  request = function()
    sent = sent + 1
    return requests[sent % hosts]
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'SUMMARY {"requests": %d, "bytes": %d, "micros": %d, "p50": %d, "p99": %d, "max": %d, '
    .. '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
