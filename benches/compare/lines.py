"""Whether every request is in the access log: a system that lost lines has no result."""

import time
from pathlib import Path

import load

# nginx is told to write what it has gathered once a second.
SETTLED = 1.3
LONGEST = 10


class AccessLog:
    """A system's access log, counted as it grows."""

    def __init__(self, path):
        self.path, self.offset, self.lines = Path(path), 0, 0

    def count(self):
        """Lines so far."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.offset)
                while part := file.read(1 << 20):
                    self.offset += len(part)
                    self.lines += part.count(b"\n")
        return self.lines

    def settle(self):
        """Lines when none have come for a while."""
        seen, since = self.count(), time.monotonic()
        end = since + LONGEST
        while time.monotonic() < min(since + SETTLED, end):
            time.sleep(0.1)
            if self.count() != seen:
                seen, since = self.lines, time.monotonic()
        return seen


def checked(log, connections, work):
    """`work`, of whose requests every one must have its line. A round ends with some under way, at
    most one on each connection, which have one too."""
    before = log.settle()
    seen = work()
    lines = log.settle() - before
    if not seen.requests <= lines <= seen.requests + connections:
        raise load.Wrong(f"{lines} lines in the access log for {seen.requests} requests")
    return seen
