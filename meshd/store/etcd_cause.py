"""What it means when etcd cannot be connected to, or refuses: grpc's words and its own, in words about what to do."""

from __future__ import annotations

from typing import Final

_MEANINGS: Final = (
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet"),
    ("Hostname Verification", "its certificate is for another name: see override_authority"),
    ("is not in peer certificate", "its certificate is for another name: see override_authority"),
    ("certificate signature failure", "its certificate is of another authority: see certificate"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is of another authority: see certificate"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: see tls_mode"),
    ("Handshake read failed", "it does not speak TLS: see tls_mode"),
    ("security handshaker", "a certificate or key is broken, or client_key and client_certificate are not a pair"),
    # etcd looks at a client's certificate when the handshake is over on our side, and hangs up on it.
    ("TSI_DATA_CORRUPTED", "it does not accept this client's certificate, or wants one: see client_certificate"),
    ("Connection refused", "nobody listens there"),
    ("Socket closed", "it hangs up, as an etcd that speaks TLS only: see tls_mode"),
    ("Connection reset", "it hangs up, as an etcd that speaks TLS only: see tls_mode"),
    ("DNS resolution failed", "its name is not known"),
)


def cause_of(details: str) -> str:
    """``details`` as grpc gives them, after what they mean if that is known."""
    for words, meaning in _MEANINGS:
        if words in details:
            return f"{meaning} ({details})"
    return details


_ADVICE: Final = (
    ("space exceeded", "it is full, and takes no writes: compact and defragment it, then `etcdctl alarm disarm`"),
    ("permission denied", "its user may not: grant its role readwrite on the keys of the mesh"),
)


def advice_on(details: str) -> str:
    """What to do about a refusal that is not about one request alone; empty: it is."""
    return next((advice for words, advice in _ADVICE if words in details), "")
