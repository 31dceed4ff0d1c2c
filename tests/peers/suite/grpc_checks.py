"""grpcio as a client: all four kinds of call, statuses, deadlines, cancellation, health."""

import contextlib
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "/t.Echo/"


@contextlib.contextmanager
def channel(place):
    options = [("grpc.max_receive_message_length", 1 << 25), ("grpc.enable_http_proxy", 0)]
    address = f"localhost:{place.port}"
    if place.tls:
        with open(place.ca, "rb") as ca:
            credentials = grpc.ssl_channel_credentials(ca.read())
        made = grpc.secure_channel(address, credentials, options)
    else:
        made = grpc.insecure_channel(address, options)
    with made as one:
        yield one


def unary(place):
    with channel(place) as one:
        call = one.unary_unary(SERVICE + "Unary")
        for request in (b"hello", b"", b"x" * 3_000_000):
            answer, done = call.with_call(request, timeout=10)
            assert answer == request
            assert ("x-length", str(len(request))) in done.trailing_metadata()
        waiting = [call.future(str(number).encode(), timeout=10) for number in range(200)]
        assert [it.result() for it in waiting] == [str(number).encode() for number in range(200)]


def streams(place):
    with channel(place) as one:
        answers = one.unary_stream(SERVICE + "ServerStream")(b"1000", timeout=10)
        assert [int(it) for it in answers] == list(range(1000))
        parts = (b"x" * 10_000 for _ in range(300))
        assert one.stream_unary(SERVICE + "ClientStream")(parts, timeout=10) == b"3000000"
        assert one.stream_unary(SERVICE + "ClientStream")(iter(()), timeout=10) == b"0"


def both_ways(place):
    """Each message goes out only once the one before has come back: nothing is held on the way."""
    with channel(place) as one:
        came = []

        def messages():
            for number in range(200):
                until = time.monotonic() + 10
                while len(came) < number:
                    assert time.monotonic() < until, f"stuck at {number}"
                    time.sleep(0.0005)
                yield str(number).encode()

        for answer in one.stream_stream(SERVICE + "Both")(messages(), timeout=30):
            came.append(answer)
        assert came == [str(number).encode() for number in range(200)]


def expect(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} ({error.details()}) and not {code}"
        return error
    raise AssertionError(f"no {code}")


def statuses(place):
    with channel(place) as one:
        call = one.unary_unary(SERVICE + "Fail")
        error = expect(grpc.StatusCode.FAILED_PRECONDITION, lambda: call(b"why", timeout=10))
        assert error.details() == "no: why"
        assert ("x-detail-bin", b"\x00\xff") in error.trailing_metadata()
        call = one.unary_unary(SERVICE + "NoSuch")
        expect(grpc.StatusCode.UNIMPLEMENTED, lambda: call(b"", timeout=10))


def deadlines(place):
    """The server hears at once of a client that gives up, by its deadline or at will."""
    with channel(place) as one:
        ended = one.unary_unary(SERVICE + "Ended")
        wait = one.unary_stream(SERVICE + "Wait")
        begun = time.monotonic()
        expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(wait(b"", timeout=0.5)))
        assert time.monotonic() - begun < 3
        assert ended(b"", timeout=10) == b"yes"
        call = wait(b"")
        assert next(call) == b"begun"
        call.cancel()
        assert ended(b"", timeout=10) == b"yes"


def health(place):
    with channel(place) as one:
        stub = health_pb2_grpc.HealthStub(one)
        ask = lambda service: stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        status = health_pb2.HealthCheckResponse
        assert ask("").status == status.SERVING and ask("t.Down").status == status.NOT_SERVING
        expect(grpc.StatusCode.NOT_FOUND, lambda: ask("t.None"))
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="t.Echo"), timeout=10)
        assert next(watch).status == status.SERVING
        watch.cancel()


def goaway(place):
    """Its server ends each connection after 300 ms; no call is lost by that."""
    with channel(place) as one:
        call = one.unary_unary("/t.Young/Unary")
        both = one.stream_stream("/t.Young/Both")
        until, count = time.monotonic() + 3, 0
        while time.monotonic() < until:
            waiting = [call.future(str(number).encode(), timeout=10) for number in range(20)]
            streams = [both(iter([b"a", b"b"] * 20), timeout=10) for _ in range(3)]
            assert [it.result() for it in waiting] == [str(number).encode() for number in range(20)]
            assert all(len(list(it)) == 40 for it in streams)
            count += len(waiting) + len(streams)
        assert count > 200, count


def many_streams(place):
    """Streams both ways, all at once, of more than the windows hold."""
    part = bytes(100_000)
    with channel(place) as one:
        both = one.stream_stream(SERVICE + "Both")

        def run(answers):
            try:
                return sum(len(answer) for answer in both((part for _ in range(20)), timeout=40))
            except grpc.RpcError as error:
                return error

        with futures.ThreadPoolExecutor(40) as threads:
            sums = list(threads.map(run, range(40)))
        assert sums == [len(part) * 20] * 40, sums


def unavailable(place):
    """Only by way of sheave: no server is there, and no route."""
    with channel(place) as one:
        call = one.unary_unary("/t.Dead/Unary")
        expect(grpc.StatusCode.UNAVAILABLE, lambda: call(b"", timeout=10))
        call = one.unary_unary("/t.Nowhere/Unary")
        expect(grpc.StatusCode.UNIMPLEMENTED, lambda: call(b"", timeout=10))
