"""Settings of protection: certificates of the external port and of the mesh port."""

from __future__ import annotations

import re

from meshd.settings.kinds import FILE, FILES, FLAG, PATHS, TEXT, choice
from meshd.settings.setting import Setting

TLS = (
    Setting("MM_TLS_PRIVATE_KEY_PATH", "tls_key_path", FILE, "",
            "file of the private key, PEM; set: TLS on the port for clients, and on the one for other instances",
            aliases=("MM_SVC_GRPC_PRIVATE_KEY_PATH", "TAS_SVC_GRPC_PRIVATE_KEY_PATH")),
    Setting("MM_TLS_KEY_CERT_PATH", "tls_certificate_path", FILE, "",
            "file of the certificate that belongs to the key, PEM, with those between it and its authority after it",
            aliases=("MM_SVC_GRPC_CA_CERT_PATH", "TAS_SVC_GRPC_CA_CERT_PATH")),
    Setting("MM_TLS_PRIVATE_KEY_PASSPHRASE", "tls_key_passphrase", TEXT, "", "passphrase of the private key",
            aliases=("MM_SVC_GRPC_PRIVATE_KEY_PASSPHRASE",), secret=re.compile(r".+", re.DOTALL)),
    Setting("MM_TLS_CLIENT_AUTH", "tls_client_auth", choice("none", "optional", "require"), "none",
            "whether clients have to show a certificate; optional: they are not asked for one"),
    Setting("MM_TLS_TRUST_CERT_PATH", "tls_trust_paths", FILES, "",
            "files of the authorities that clients' certificates are checked by, PEM; unset: those of the system",
            unset=()),
    Setting("MM_ENABLE_SSL", "is_mesh_tls_enabled", FLAG, "true",
            "TLS on the port for other instances too, where there is a private key"),
    Setting("MM_INTRACLUSTER_CLIENTAUTH", "has_mesh_client_auth", FLAG, "true",
            "instances that call others have to show a certificate"),
    Setting("MM_INTERNAL_TRUST_CERTS", "internal_trust_paths", PATHS, "",
            "files, or directories of *.pem and *.crt, of authorities that other instances' certificates are checked "
            "by beside the own certificate, PEM", aliases=("MM_TRUST_CERTS",), unset=()),
)  # fmt: skip
