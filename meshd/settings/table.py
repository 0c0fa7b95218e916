"""The one table of settings: every environment variable that is read, and those of ModelMesh that are known only."""

from __future__ import annotations

from meshd.settings.instance import INSTANCE
from meshd.settings.models import MODELS
from meshd.settings.observation import OBSERVATION
from meshd.settings.requests import REQUESTS
from meshd.settings.store import STORE
from meshd.settings.tls import TLS

SETTINGS = (*INSTANCE, *STORE, *TLS, *REQUESTS, *MODELS, *OBSERVATION)

NAMES = frozenset(name for setting in SETTINGS for name in setting.names)

WITHOUT_EFFECT = (
    "CUSTOM_JVM_ARGS", "GC_DIAG", "HEAP_SIZE_MB", "LITELINKS_SSL_KEY_CERTPATH", "LITELINKS_SSL_KEY_PASSWORD",
    "LITELINKS_SSL_KEY_PATH", "LITELINKS_SSL_PROTOCOL", "LITELINKS_SSL_TRUSTCERTS_PATH", "LL_DISCOVERY",
    "LL_PRIVATE_DOMAIN_ID", "LL_PRIVATE_ENDPOINT", "LL_USE_PRIVATE", "MAX_DIRECT_BUFS_MB", "MAX_GC_PAUSE",
    "MEM_LIMIT_MB", "MESOS_TASK_ID", "MM_METRICS_PROMETHEUS_PORT", "MM_METRICS_STATSD_PORT",
    "MM_SEND_DEST_ID", "MM_SERVICE_CLASS", "MM_STATIC_HEAP_OVERHEAD_MBYTES", "NETTY_BUFFER_CHECKS", "SERVICE_ARGS",
    "WATSON_SERVICE_PORT", "WATSON_SERVICE_REG_PORT", "WKUBE_NODE_NAME", "WKUBE_SERVICE_NAME",
    "WKUBE_SERVICE_PORT_NAME", "ZOOKEEPER",
)  # fmt: skip
"""Settings of ModelMesh that can mean nothing here: a warning says so."""

WITHOUT_EFFECT_PREFIX = "EGOSC_"
"""A scheduler's variables, of which the same is true."""
