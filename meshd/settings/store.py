"""Settings of the store that the registry is kept in."""

from __future__ import annotations

import re

from meshd.settings.kinds import FLAG, TEXT, matching, whole
from meshd.settings.setting import Setting

USERINFO = re.compile(r"(?:(?<=//)|(?<=[:,;\s])(?!//))(?:(?!://)\S)*(?=@)")
"""What stands before the @ of an address, with or without a scheme."""

_STORE = matching(r"etcd:\S+|memory:?", "etcd:<file>, etcd:<endpoints> or memory")

STORE = (
    Setting("KV_STORE", "kv_store", _STORE, None, "where the registry is kept; memory: in this process, for trial",
            secret=USERINFO),
    Setting("MM_KVSTORE_PREFIX", "kv_prefix", matching(r"[^/\s]+", "a name without / and blanks"), "tas-runtime",
            "second level of the keys in the store"),
    Setting("KV_READ_ONLY", "is_read_only", FLAG, "false",
            "true: this instance registers and unregisters nothing, and takes out of the registry nothing that others "
            "lost"),
    Setting("MM_LEASE_TTL_SECS", "lease_ttl_s", whole(2, 3600), "25",
            "an instance that the store does not hear of for this long is gone to the others", "s"),
    Setting("LL_REGISTRY", "discovery_store", _STORE, "",
            "a store of its own for how instances find each other; unset: KV_STORE", secret=USERINFO,
            is_acted_on=False),
    Setting("MM_DEFAULT_VMODEL_OWNER", "default_vmodel_owner", TEXT, "",
            "owner of virtual models that are made without one"),
)  # fmt: skip
