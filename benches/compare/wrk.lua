-- Arguments after `--`: method, bytes of the body, "close" or "keep".
-- Only constants are set, so wrk builds the request once. The summary is one line of JSON.
function init(args)
  wrk.method = args[1]
  if tonumber(args[2]) > 0 then
    wrk.body = string.rep("x", tonumber(args[2]))
    wrk.headers["Content-Type"] = "application/octet-stream"
  end
  if args[3] == "close" then wrk.headers["Connection"] = "close" end
  local request = wrk.format()
  wrk.request = function() return request end
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
