"""The one table of settings: every environment variable that is read, what it may be and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from meshd.settings_kinds import (
    FLAG,
    LABELS,
    METRICS,
    PORT,
    PORT_OR_ANY,
    PORT_OR_NONE,
    TEXT,
    WHOLE,
    Kind,
    MetricsConfig,
    choice,
    matching,
    whole,
)

FRAME = 2**31 - 1
USERINFO = re.compile(r"(?<=//)[^/,]*(?=@)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable. ``default`` is written as a user would write it; empty: the meaning says; None: must be set."""

    name: str
    field: str
    """The attribute of ``meshd.config.Config``."""
    kind: Kind
    default: str | None
    meaning: str
    unit: str = ""
    aliases: tuple[str, ...] = ()
    unset: object = ""
    """The value where neither the environment nor ``default`` says one."""
    secret: re.Pattern[str] | None = None
    """The part of a value that is never shown."""

    def masked(self, text: str) -> str:
        """``text`` as it may stand in a log."""
        return self.secret.sub("***", text) if self.secret else text


SETTINGS = (
    Setting("MM_SERVICE_NAME", "service_name", matching(r"[^/\s]+", "a name without / and blanks"), None,
            "name of the mesh; its instances find each other by it", aliases=("TAS_SERVICE_NAME",)),
    Setting("MM_INSTANCE_ID", "instance_id",
            matching(r"[!-+\-.0-~]+", "an id of ASCII characters without commas, / and blanks"), "",
            "id of this instance; unset: the last 12 characters of WKUBE_POD_NAME, else meshd-<host name>-<random>"),
    Setting("MM_SVC_GRPC_PORT", "external_port", PORT_OR_ANY, "8033",
            "port for clients, inference and management; 0: any that is free", "port", ("TAS_SVC_GRPC_PORT",)),
    Setting("MM_SVC_GRPC_MAX_MSG_SIZE", "max_message_bytes", whole(1, FRAME), "16777216",
            "largest message that is taken from clients, peers and the runtime", "bytes"),
    Setting("MM_MESH_PORT", "mesh_port", PORT_OR_ANY, "8080", "port for other instances; 0: any that is free", "port"),
    Setting("MM_PROBE_PORT", "probe_port", PORT_OR_NONE, "8089",
            "port of /ready and /live; 0: any that is free; NONE: no probes", "port"),
    Setting("MM_PRESTOP_WAIT_PORT", "prestop_port", PORT_OR_NONE, "8090",
            "port of /prestop, which answers when this instance has stopped; 0: any that is free; NONE: none", "port"),
    Setting("MM_METRICS", "metrics", METRICS, "",
            "metrics; unset: prometheus:port=2112;scheme=http; set: the scheme is https unless it says otherwise",
            unset=MetricsConfig()),
    Setting("MM_BIND", "bind", matching(r"[^\s/\[\]]+", "an address or a host name"), "",
            "address that the ports are opened on; unset: all"),
    Setting("KV_STORE", "kv_store", matching(r"etcd:\S+|memory:?", "etcd:<file>, etcd:<endpoints> or memory"),
            None, "where the registry is kept; memory: in this process, for trial", secret=USERINFO),
    Setting("MM_KVSTORE_PREFIX", "kv_prefix", matching(r"[^/\s]+", "a name without / and blanks"), "tas-runtime",
            "second level of the keys in the store"),
    Setting("WKUBE_POD_NAME", "pod_name", TEXT, "", "name of the pod, by the downward API"),
    Setting("WKUBE_POD_IPADDR", "pod_address", TEXT, "", "address of the pod, by the downward API"),
    Setting("WATSON_SERVICE_ADDRESS", "address", matching(r"[^\s/]+", "an address or a host name"), "",
            "address that other instances reach this one at; unset: WKUBE_POD_IPADDR, else MM_BIND, else the host's"),
    Setting("MM_LOCATION", "location", TEXT, "", "node that this instance runs on", aliases=("WKUBE_NODE_IP",)),
    Setting("MM_ZONE", "zone", TEXT, "", "zone that this instance runs in"),
    Setting("MM_LABELS", "labels", LABELS, "", "what this instance's runtime can serve, with commas between", unset=()),
    Setting("SERVICE_VERSION", "service_version", TEXT, "",
            "build of this instance; the newer of two, by date, is preferred for loads"),
    Setting("SHUTDOWN_TIMEOUT_MS", "shutdown_timeout_ms", whole(0), "30000",
            "time from SIGTERM to the end of the process", "ms"),
    Setting("INTERNAL_GRPC_PORT", "runtime_port", PORT, "",
            "port of the runtime on this host; unset, and no socket: what answers first, /tmp/mmesh/grpc.sock or 8085",
            "port", unset=None),
    Setting("INTERNAL_GRPC_SOCKET_PATH", "runtime_socket", TEXT, "", "unix socket of the runtime, instead of its port"),
    Setting("INTERNAL_SERVING_GRPC_PORT", "serving_port", PORT, "",
            "port that the runtime serves inference on; unset: where it is managed", "port", unset=None),
    Setting("INTERNAL_SERVING_GRPC_SOCKET_PATH", "serving_socket", TEXT, "",
            "unix socket that the runtime serves inference on, instead of a port"),
    Setting("MM_LOG_EACH_INVOKE", "logs_each_request", FLAG, "false", "log every request"),
    Setting("MM_MIN_CHURN_AGE_MS", "min_churn_age_ms", whole(-1), "-1",
            "refuse a load that would evict models used within this; 0: never; -1: by the runtime's load timeout",
            "ms"),
    Setting("MM_LOAD_FAILURE_EXPIRY_TIME_MS", "failure_expiry_ms", whole(0), "900000",
            "an instance that could not load a model is not asked again for this long", "ms"),
    Setting("MM_MAX_INFLIGHT_PER_MODEL_COPY", "max_inflight_per_copy", WHOLE, "0",
            "requests that a copy with limited concurrency takes, waiting ones included; 0: by its concurrency; "
            "negative: any number", "requests"),
    Setting("MM_DATA_PLANE", "data_plane", choice("auto", "python"), "auto",
            "what carries requests; auto: the fastest that is installed"),
    Setting("MM_JOURNAL_PATH", "journal_path", TEXT, "",
            "file for all that this instance decides, {instance} stands for its id; compressed if it ends in .zst; "
            "unset: none"),
    Setting("MM_LOG_LEVEL", "log_level", choice("debug", "info", "warning", "error"), "info", "what is logged"),
    Setting("MM_LOG_FORMAT", "log_format", choice("text", "json"), "text", "how it is logged"),
    Setting("LL_TERMINATION_MSG_PATH", "termination_path", TEXT, "",
            "file for the reason why a start failed; unset: /dev/termination-log in a pod, else none"),
)  # fmt: skip

REFUSED = (
    "KV_READ_ONLY", "MM_TLS_CLIENT_AUTH", "MM_TLS_KEY_CERT_PATH", "MM_TLS_PRIVATE_KEY_PASSPHRASE",
    "MM_TLS_PRIVATE_KEY_PATH", "MM_TLS_TRUST_CERT_PATH", "MM_SVC_GRPC_CA_CERT_PATH",
    "MM_SVC_GRPC_PRIVATE_KEY_PASSPHRASE", "MM_SVC_GRPC_PRIVATE_KEY_PATH", "TAS_SVC_GRPC_CA_CERT_PATH",
    "TAS_SVC_GRPC_PRIVATE_KEY_PATH",
)  # fmt: skip
"""Settings of ModelMesh that protect something: to run without what they ask for would be worse than not to run."""

WITHOUT_EFFECT = (
    "MM_AUTO_REGISTER_MODEL", "MM_AUTO_REGISTER_MODELS", "MM_AUTO_REGISTER_MODELS_PATH", "MM_AUTO_REGISTER_MODEL_PATH",
    "MM_CONC_SCALEUP_BANDWIDTH_PCT", "MM_DATAPLANE_CONFIG", "MM_DATAPLANE_CONFIG_PATH", "MM_DEFAULT_VMODEL_OWNER",
    "MM_ENABLE_SSL", "MM_FAILFAST_UPGRADE_ENABLED", "MM_INFO_METRICS", "MM_INSTALL_PATH", "MM_INTERNAL_TRUST_CERTS",
    "MM_INTRACLUSTER_CLIENTAUTH", "MM_LOG_PROMETHEUS_REQS", "MM_LOG_REQUEST_HEADERS", "MM_METRICS_PROMETHEUS_PORT",
    "MM_METRICS_STATSD_PORT", "MM_MULTI_PARALLELISM", "MM_PAYLOAD_PROCESSORS", "MM_PAYLOAD_PROCESSORS_CAPACITY",
    "MM_PAYLOAD_PROCESSORS_THREADS", "MM_SCALEUP_RPM_THRESHOLD", "MM_SEND_DEST_ID", "MM_SERVICE_CLASS",
    "MM_SVC_GRPC_MAX_CONNECTION_AGE_GRACE_SECS", "MM_SVC_GRPC_MAX_CONNECTION_AGE_SECS",
    "MM_SVC_GRPC_MAX_HEADERS_SIZE", "MM_TRUST_CERTS", "MM_TYPE_CONSTRAINTS", "MM_TYPE_CONSTRAINTS_PATH",
)  # fmt: skip
"""Settings of ModelMesh that change nothing here: a warning says so."""
