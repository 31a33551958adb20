"""A passkey in software (WebAuthn, level 3): what an authenticator and a browser send."""

import hashlib
import json
import os
import struct
from dataclasses import dataclass, field

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import bytes_to_base64url

UP, UV, AT = 0x01, 0x04, 0x40
"""Flags: the user was present, was verified, and there is attested data."""


@dataclass
class SoftAuthenticator:
    """One passkey of `rp_id`, used from a page of `origin`; tests change what they like."""

    rp_id: str = "portal.example"
    origin: str = "https://portal.example"
    sign_count: int = 0
    flags: int = UP | UV
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def make(self, challenge: bytes) -> str:
        """The answer to options for a new passkey, as a form has it."""
        point = self.key.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (point.x, point.y))
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y})
        attested = bytes(16) + struct.pack(">H", len(self.credential_id)) + self.credential_id
        data = self._data(self.flags | AT) + attested + cose
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", challenge)
        return self._answer(clientDataJSON=client, attestationObject=attestation)

    def sign(self, challenge: bytes) -> str:
        """The answer to options that ask for a passkey."""
        self.sign_count += 1
        data, client = self._data(self.flags), self._client("webauthn.get", challenge)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(clientDataJSON=client, authenticatorData=data, signature=signature)

    def _data(self, flags: int) -> bytes:
        rp = hashlib.sha256(self.rp_id.encode()).digest()
        return rp + bytes([flags]) + struct.pack(">I", self.sign_count)

    def _client(self, kind: str, challenge: bytes) -> bytes:
        said = {"type": kind, "challenge": bytes_to_base64url(challenge), "origin": self.origin}
        return json.dumps(said).encode()

    def _answer(self, **parts: bytes) -> str:
        own = bytes_to_base64url(self.credential_id)
        response = {name: bytes_to_base64url(part) for name, part in parts.items()}
        return json.dumps({"id": own, "rawId": own, "type": "public-key", "response": response})
