"""Ports that tests give to what they start."""

from __future__ import annotations

import os
import random
import socket

from mmctl.local import ports

_WORKER, _WORKERS = (os.environ.get(f"PYTEST_XDIST_WORKER{name}", "") for name in ("", "_COUNT"))
PORTS = range(10_000 + int(_WORKER.removeprefix("gw") or 0), 20_000, int(_WORKERS or 1))
"""Where no outgoing connection gets its port from, so that what is free now is free when an instance comes back, nor
`mmctl up`; each of the processes that run tests beside each other has its own."""

UP = ports.RANGE[int(_WORKER.removeprefix("gw") or 0) :: int(_WORKERS or 1)]
"""Where `mmctl up` takes ports from in these tests: it leaves them free for a while until its processes listen."""

_rng = random.SystemRandom()
_given: dict[int, None] = {}


def free_port() -> int:
    """A port that nobody listens on, given out once."""
    while True:
        port = _rng.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port in _given or probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
            try:
                probe.close()
                with socket.create_server(("127.0.0.1", port)):
                    _given[port] = None
                    return port
            except OSError:
                continue
