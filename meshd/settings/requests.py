"""Settings of how requests come in, and of the runtime that answers them."""

from __future__ import annotations

from meshd.settings.forms import DATA_PLANE, DATA_PLANE_FILE, RETRY_BUFFER, RetryBuffer
from meshd.settings.kinds import PORT, TEXT, WHOLE, choice, whole
from meshd.settings.setting import Setting

FRAME = 2**31 - 1
MOST_S = FRAME // 1000


REQUESTS = (
    Setting("MM_SVC_GRPC_MAX_MSG_SIZE", "max_message_bytes", whole(1, FRAME), "16777216",
            "largest message that is taken from clients, peers and the runtime", "bytes"),
    Setting("MM_SVC_GRPC_MAX_HEADERS_SIZE", "max_headers_bytes", whole(-1, FRAME), "-1",
            "headers that a request of a client may have, names and 32 bytes each included; -1 and 0: 8192", "bytes"),
    Setting("MM_SVC_GRPC_MAX_CONNECTION_AGE_SECS", "max_connection_age_s", whole(1, MOST_S), "",
            "connections of clients are ended after about this; unset: never", "s", unset=None),
    Setting("MM_SVC_GRPC_MAX_CONNECTION_AGE_GRACE_SECS", "max_connection_grace_s", whole(0, MOST_S), "",
            "calls that are open then may take this much longer; unset: as long as they like", "s", unset=None),
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
            "negative: any number", "requests"),
    Setting("MM_MULTI_PARALLELISM", "multi_parallelism", whole(1), "4",
            "models that are asked at a time for a request that names several", "models", is_acted_on=False),
    Setting("MM_DATAPLANE_CONFIG", "data_plane_config", DATA_PLANE, "",
            "methods that clients may call and where a model's id stands in their requests; unset: any, in a header",
            unset=None, is_acted_on=False),
    Setting("MM_DATAPLANE_CONFIG_PATH", "data_plane_config_path", DATA_PLANE_FILE, "",
            "file of the same, read again when it changes", is_acted_on=False),
    Setting("MM_DATA_PLANE", "data_plane", choice("auto", "python"), "auto",
            "what carries requests; auto: the fastest that is installed", is_acted_on=False),
    Setting("MM_RETRY_BUFFER", "retry_buffer", RETRY_BUFFER, "1048576,67108864",
            "what is kept to send requests again, of one and of all together, and as much for shadows; 0: nothing",
            "bytes", unset=RetryBuffer(0, 0)),
)  # fmt: skip
