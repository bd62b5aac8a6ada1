"""Requests that are signed (RFC 9421), where that is agreed: a stolen token alone is then worth nothing."""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def sign_request(
    key: Ed25519PrivateKey, key_id: str, path: str, message: bytes, authorization: str, created: int, nonce: str
) -> list[tuple[str, str]]:
    """The metadata that signs a request: its path, the digest of its message as encoded, and its token."""
    digest = f"sha-256=:{b64encode(sha256(message).digest()).decode()}:"
    covered = f'("@path" "content-digest" "authorization");created={created};nonce="{nonce}";keyid="{key_id}"'
    base = f'"@path": {path}\n"content-digest": {digest}\n"authorization": {authorization}\n'
    base += f'"@signature-params": {covered}'
    signature = b64encode(key.sign(base.encode())).decode()
    return [
        ("authorization", authorization),
        ("content-digest", digest),
        ("signature-input", f"sig={covered}"),
        ("signature", f"sig=:{signature}:"),
    ]


def call_signed(partner: Any, path: str, request: Any, answer: Any) -> Any:
    """One try of a call. Every try is signed anew: a nonce counts once."""
    key = load_pem_private_key((partner.folder / partner.config["payment_key_file"]).read_bytes(), None)
    [(_, authorization)] = partner.auth()
    message = request.SerializeToString()
    metadata = sign_request(
        key, partner.config["payment_key_id"], path, message, authorization, int(time.time()), secrets.token_hex(16)
    )  # fmt: skip
    # The bytes that were digested are the bytes that are sent.
    method = partner.channel.unary_unary(path, lambda encoded: encoded, answer.FromString)
    return method(message, timeout=10, metadata=metadata)
