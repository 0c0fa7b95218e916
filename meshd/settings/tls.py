"""Settings of protection: certificates of the external port and of the mesh port."""

from __future__ import annotations

import re

from meshd.settings.kinds import FILE, FILES, FLAG, PATHS, TEXT, choice
from meshd.settings.setting import Setting

TLS = (
    Setting("MM_TLS_PRIVATE_KEY_PATH", "tls_key_path", FILE, "",
            "PEM key of the external port; without it there is no TLS",
            aliases=("MM_SVC_GRPC_PRIVATE_KEY_PATH", "TAS_SVC_GRPC_PRIVATE_KEY_PATH")),
    Setting("MM_TLS_KEY_CERT_PATH", "tls_certificate_path", FILE, "", "PEM certificate (chain) that goes with the key",
            aliases=("MM_SVC_GRPC_CA_CERT_PATH", "TAS_SVC_GRPC_CA_CERT_PATH")),
    Setting("MM_TLS_PRIVATE_KEY_PASSPHRASE", "tls_key_passphrase", TEXT, "", "passphrase of the key",
            aliases=("MM_SVC_GRPC_PRIVATE_KEY_PASSPHRASE",), secret=re.compile(r"(?s).+")),
    Setting("MM_TLS_CLIENT_AUTH", "tls_client_auth", choice("none", "optional", "require"), "none",
            "whether clients have to show a certificate"),
    Setting("MM_TLS_TRUST_CERT_PATH", "tls_trust_paths", FILES, "",
            "PEM files of whom clients' certificates may come from; unset: the system's", unset=()),
    Setting("MM_ENABLE_SSL", "is_mesh_tls_enabled", FLAG, "true",
            "false: no TLS between instances even where there is a key"),
    Setting("MM_INTRACLUSTER_CLIENTAUTH", "has_mesh_client_auth", FLAG, "true",
            "false: instances show each other no client certificate"),
    Setting("MM_INTERNAL_TRUST_CERTS", "internal_trust_paths", PATHS, "",
            "PEM files, or directories of them, of whom other instances' certificates may come from besides",
            aliases=("MM_TRUST_CERTS",), unset=()),
)  # fmt: skip
