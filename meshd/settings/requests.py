"""Settings of how requests come in, and of the runtime that answers them."""

from __future__ import annotations

from meshd.settings.forms import DATA_PLANE, DATA_PLANE_FILE, RETRY_BUFFER, RetryBuffer
from meshd.settings.kinds import PORT, TEXT, WHOLE, Kind, choice, whole, whole_number
from meshd.settings.setting import Setting

FRAME = 2**31 - 1
SECONDS = whole(1, FRAME)


def _headers(text: str) -> int | None:
    return None if text == "-1" else whole_number(text, 1, FRAME)


REQUESTS = (
    Setting("MM_SVC_GRPC_MAX_MSG_SIZE", "max_message_bytes", whole(1, FRAME), "16777216",
            "largest message that is taken from clients, peers and the runtime", "bytes"),
    Setting("MM_SVC_GRPC_MAX_HEADERS_SIZE", "max_headers_bytes",
            Kind(_headers, f"-1 or a whole number from 1 to {FRAME}"), "-1",
            "largest headers that are taken from clients; -1: what gRPC takes", "bytes", unset=None),
    Setting("MM_SVC_GRPC_MAX_CONNECTION_AGE_SECS", "max_connection_age_s", SECONDS, "",
            "a client's connection is ended in order after this, so that clients spread anew; unset: never", "s",
            unset=None),
    Setting("MM_SVC_GRPC_MAX_CONNECTION_AGE_GRACE_SECS", "max_connection_grace_s", whole(0, FRAME), "",
            "what calls of such a connection have to end; unset: any time", "s", unset=None),
    Setting("INTERNAL_GRPC_PORT", "runtime_port", PORT, "",
            "port of the runtime on this host; unset, and no socket: what answers first, /tmp/mmesh/grpc.sock or 8085",
            "port", unset=None),
    Setting("INTERNAL_GRPC_SOCKET_PATH", "runtime_socket", TEXT, "", "unix socket of the runtime, instead of its port"),
    Setting("INTERNAL_SERVING_GRPC_PORT", "serving_port", PORT, "",
            "port that the runtime serves inference on; unset: where it is managed", "port", unset=None),
    Setting("INTERNAL_SERVING_GRPC_SOCKET_PATH", "serving_socket", TEXT, "",
            "unix socket that the runtime serves inference on, instead of a port"),
    Setting("MM_MAX_INFLIGHT_PER_MODEL_COPY", "max_inflight_per_copy", WHOLE, "0",
            "requests that a copy with limited concurrency takes, waiting ones included; 0: by its concurrency; "
            "negative: any number", "requests", is_acted_on=False),
    Setting("MM_MULTI_PARALLELISM", "multi_parallelism", whole(1), "4",
            "models that are asked at a time for a request that names several", "models", is_acted_on=False),
    Setting("MM_DATAPLANE_CONFIG", "data_plane_config", DATA_PLANE, "",
            "methods that clients may call and where a model's id stands in their requests; unset: any, in a header",
            unset=None, is_acted_on=False),
    Setting("MM_DATAPLANE_CONFIG_PATH", "data_plane_config_path", DATA_PLANE_FILE, "",
            "file of the same, read again when it changes", is_acted_on=False),
    Setting("MM_DATA_PLANE", "data_plane", choice("auto", "python"), "auto",
            "what carries requests; auto: the fastest that is installed"),
    Setting("MM_RETRY_BUFFER", "retry_buffer", RETRY_BUFFER, "1048576,67108864",
            "what is kept to send requests again, of one and of all together; 0: nothing", "bytes",
            unset=RetryBuffer(0, 0)),
)  # fmt: skip
