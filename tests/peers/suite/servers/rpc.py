"""grpcio as a server, with all four kinds of call and the health service: `python rpc.py PORT [AGE]`.

With AGE, each connection is ended by GOAWAY after about so many milliseconds.
The messages are plain bytes, so that no code has to be generated.
"""

import sys
import threading
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

ENDED = threading.Semaphore(0)


def unary(request, context):
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return request


def fail(request, context):
    context.set_trailing_metadata((("x-detail-bin", b"\x00\xff"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: " + request.decode())


def server_stream(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def client_stream(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def both(requests, context):
    for request in requests:
        yield request


def wait(request, context):
    """Ends only when the client gives up."""
    context.add_callback(ENDED.release)
    yield b"begun"
    while context.is_active():
        time.sleep(0.01)


def ended(request, context):
    """Whether a `Wait` has ended since the last time."""
    return b"yes" if ENDED.acquire(timeout=5) else b"no"


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
    "Ended": grpc.unary_unary_rpc_method_handler(ended),
}
OPTIONS = [("grpc.max_receive_message_length", 1 << 25)]
SERVICE = "t.Echo"
if len(sys.argv) > 2:
    SERVICE = "t.Young"
    OPTIONS += [("grpc.max_connection_age_ms", int(sys.argv[2]))]
    OPTIONS += [("grpc.max_connection_age_grace_ms", 5000)]

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=64),
    options=OPTIONS,
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, METHODS),))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
for service in ("", "t.Echo"):
    servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
servicer.set("t.Down", health_pb2.HealthCheckResponse.NOT_SERVING)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
