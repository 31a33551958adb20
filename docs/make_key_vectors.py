"""Writes docs/key-vectors.json: temporary keys, permanent licenses, lists of revoked licenses and
records of visits, good and bad, with what a checker must say to each.

Run it as `.venv/bin/python docs/make_key_vectors.py`. It gives the same file each time. It uses
nothing of the portal, so that the portal can be held against it. The private keys are made of
fixed bytes that stand below for all to read: no portal may ever trust them.
"""

import base64
import hashlib
import hmac
import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Json = dict[str, object]

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OLDER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
FOREIGN_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))

SALT = b"rolling-window/temporary-license/v1"
PERMANENT_SALT = b"rolling-window/permanent-license/v1"
ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order L of the group: S and S + L would both fit the equation (RFC 8032, 5.1.7)."""

ISSUED_AT = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
TTL = 3 * 3600
EXPIRES_AT = ISSUED_AT + timedelta(seconds=TTL)
STARTS_AT = ISSUED_AT + timedelta(days=1)
"""The start of a key that was issued ahead."""
MIDWAY = ISSUED_AT + timedelta(hours=1)


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def jwk(private_key: Ed25519PrivateKey) -> Json:
    x = encode(private_key.public_key().public_bytes_raw())
    thumbprint = hashlib.sha256(compact({"crv": "Ed25519", "kty": "OKP", "x": x})).digest()
    kid = encode(thumbprint)[:8]
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"}


def kid(private_key: Ed25519PrivateKey) -> str:
    return str(jwk(private_key)["kid"])


def payload(**changes: object) -> Json:
    members = {"kid": kid(SIGNING_KEY), "jti": "K7QF-3MXP", "org": "ORG-000123", "ttl": TTL}
    return members | changes


def sign(
    body: str,
    *,
    private_key: Ed25519PrivateKey = SIGNING_KEY,
    salt: bytes = SALT,
    timestamp: bytes | None = None,
) -> str:
    """A key around PAYLOAD `body`, whatever is in it, signed as of `timestamp`."""
    if timestamp is None:
        timestamp = int(ISSUED_AT.timestamp()).to_bytes(4, "big")
    signed = f"{body}.{encode(timestamp)}"
    signature = private_key.sign(salt + b"\0" + signed.encode("ascii"))
    return f"rw1.{signed}.{encode(signature)}"


def key_of(members: Json, private_key: Ed25519PrivateKey = SIGNING_KEY) -> str:
    return sign(encode(compact(members)), private_key=private_key)


def rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def vector(name: str, key: str, now: datetime, state: str, note: str, **changes: object) -> Json:
    fields = {
        "kid": kid(SIGNING_KEY),
        "key_id": "K7QF-3MXP",
        "organisation_id": "ORG-000123",
        "ttl": TTL,
        "issued_at": rfc3339(ISSUED_AT),
        "starts_at": rfc3339(ISSUED_AT),
        "expires_at": rfc3339(EXPIRES_AT),
    }
    expected = {"state": state, "fields": fields | changes}
    return {"name": name, "key": key, "now": rfc3339(now), "expected": expected, "note": note}


def refused(name: str, key: str, note: str) -> Json:
    expected = {"state": "invalid", "fields": None}
    return {"name": name, "key": key, "now": rfc3339(MIDWAY), "expected": expected, "note": note}


VALID = key_of(payload())


def readable() -> list[Json]:
    second = timedelta(seconds=1)
    older = key_of(payload(kid=kid(OLDER_KEY)), OLDER_KEY)
    lines = "\r\n".join(VALID[start : start + 60] for start in range(0, len(VALID), 60))
    return [
        vector("valid", VALID, MIDWAY, "active", "One hour into three."),
        vector("at-issue", VALID, ISSUED_AT, "active", "The issue instant belongs to the key."),
        vector(
            "six-seconds-early", VALID, ISSUED_AT - 6 * second, "invalid",
            "Well signed, but issued in the future: no two clocks are so far apart.",
        ),
        vector(
            "one-second-before-expiry", VALID, EXPIRES_AT - second, "active",
            "The last second of the key.",
        ),
        vector(
            "at-expiry", VALID, EXPIRES_AT, "expired", "The expiry instant belongs to it no more."
        ),
        vector(
            "one-second-after-expiry", VALID, EXPIRES_AT + second, "expired", "Past its expiry."
        ),
        vector(
            "older-signing-key", older, MIDWAY, "active",
            "Signed with the other key of the set, which its kid names.", kid=kid(OLDER_KEY),
        ),
        vector(
            "later-member", key_of(payload(note="later")), MIDWAY, "active",
            "A member that is not known yet is passed over.",
        ),
        vector(
            "organisation-beyond-ascii", key_of(payload(org="ÖRG-000123")), MIDWAY, "active",
            "JSON in UTF-8, without escapes.", organisation_id="ÖRG-000123",
        ),
        vector(
            "wrapped-and-quoted", f" \u201c{lines}\u201d\n", MIDWAY, "active",
            "Wrapped over lines by a mail program and put in quotation marks: cleaned, it is the "
            "valid key.",
        ),
        vector(
            "invisible-characters", f"\ufeff\u00a0{VALID[:50]}\u200b{VALID[50:]}\u00ad", MIDWAY,
            "active", "Byte order mark, no-break space, zero-width space, soft hyphen.",
        ),
    ]  # fmt: skip


def nbf(moment: datetime) -> int:
    return int(moment.timestamp())


def started(name: str, now: datetime, state: str, note: str) -> Json:
    """A vector of the key that was issued ahead, which starts a day after its issue."""
    ends_at = rfc3339(STARTS_AT + timedelta(seconds=TTL))
    starts = {"starts_at": rfc3339(STARTS_AT), "expires_at": ends_at}
    return vector(name, key_of(payload(nbf=nbf(STARTS_AT))), now, state, note, **starts)


def with_a_start() -> list[Json]:
    second, ends_at = timedelta(seconds=1), STARTS_AT + timedelta(seconds=TTL)
    at_once = key_of(payload(nbf=nbf(ISSUED_AT)))
    return [
        started("scheduled", MIDWAY, "scheduled", "Issued ahead: it starts tomorrow."),
        started(
            "six-seconds-before-the-start", STARTS_AT - 6 * second, "scheduled",
            "No two clocks are so far apart.",
        ),
        started("at-the-start", STARTS_AT, "active", "The instant of the start belongs to it."),
        started(
            "one-second-after-the-start", STARTS_AT + second, "active", "Its ttl counts from nbf."
        ),
        started(
            "one-second-before-the-end", ends_at - second, "active",
            "The last second, counted from the start.",
        ),
        started("at-the-end", ends_at, "expired", "The end is start plus ttl."),
        started(
            "scheduled-and-issued-in-the-future", ISSUED_AT - 6 * second, "invalid",
            "Before its issue instant it is no good key, whatever its start.",
        ),
        vector("start-at-issue", at_once, MIDWAY, "active", "nbf may be the issue instant."),
    ]  # fmt: skip


def damaged() -> list[Json]:
    prefix, body, timestamp, signature = VALID.split(".")
    longer = encode(compact(payload(ttl=7 * 86_400)))
    later = encode((int(ISSUED_AT.timestamp()) + 3600).to_bytes(4, "big"))
    flipped = bytes([decode(signature)[0] ^ 1]) + decode(signature)[1:]
    return [
        refused(
            "tampered-payload", ".".join([prefix, longer, timestamp, signature]),
            "ttl changed to seven days.",
        ),
        refused(
            "tampered-timestamp", ".".join([prefix, body, later, signature]),
            "Issue instant put one hour later.",
        ),
        refused(
            "tampered-signature", ".".join([prefix, body, timestamp, encode(flipped)]),
            "One bit of the signature changed.",
        ),
        refused("wrong-prefix", "rw2" + VALID[3:], "Another version of the format."),
        refused("no-prefix", VALID[4:], "The prefix is part of the key."),
        refused("cut", VALID[:-10], "The last ten characters are missing."),
        refused("doubled", VALID + VALID, "Pasted twice."),
        refused("empty", " \n", "White space only: counts as no key at all."),
    ]  # fmt: skip


def misspelt_signatures() -> list[Json]:
    head, signature = VALID.rsplit(".", 1)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(signature[-1]) + 1]
    raw = decode(signature)
    grown = (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")
    return [
        refused(
            "signature-last-character", f"{head}.{signature[:-1]}{last}",
            "Another last character that decodes to the same bytes.",
        ),
        refused("signature-padded", f"{VALID}==", "Padding decodes to the same bytes."),
        refused(
            "signature-plus-order", f"{head}.{encode(raw[:32] + grown)}",
            "S + L in the place of S (RFC 8032, 5.1.7).",
        ),
    ]  # fmt: skip


def wrongly_signed() -> list[Json]:
    body = encode(compact(payload()))
    seconds = int(ISSUED_AT.timestamp())
    squeezed = encode(zlib.compress(compact(payload())))
    return [
        refused("other-salt", sign(body, salt=PERMANENT_SALT), "Signed for another purpose."),
        refused("no-salt", sign(body, salt=b""), "Nothing but the zero byte before the value."),
        refused(
            "unknown-signing-key", key_of(payload(kid=kid(FOREIGN_KEY)), FOREIGN_KEY),
            "A good signature with a key that is not in the set.",
        ),
        refused(
            "kid-of-another-key", key_of(payload(kid=kid(OLDER_KEY))),
            "kid names one key of the set, the signature is of the other.",
        ),
        refused(
            "compressed", sign("." + squeezed),
            "Well signed, but with itsdangerous' mark of a compressed payload.",
        ),
        refused(
            "timestamp-leading-zero", sign(body, timestamp=seconds.to_bytes(5, "big")),
            "Well signed, but big-endian with a zero byte too many.",
        ),
        refused(
            "timestamp-beyond-dates", sign(body, timestamp=b"\xff" * 8),
            "Well signed, 2^64 - 1 seconds after 1970.",
        ),
    ]  # fmt: skip


def wrongly_filled() -> list[Json]:
    """Keys that are well signed and still wrong: the portal never makes one."""
    text = compact(payload()).decode()
    without_org = {name: value for name, value in payload().items() if name != "org"}
    return [
        refused("ttl-as-text", key_of(payload(ttl=str(TTL))), "ttl is a number."),
        refused("ttl-true", key_of(payload(ttl=True)), "ttl is a whole number, not true."),
        refused("ttl-fraction", key_of(payload(ttl=1.5)), "ttl is a whole number."),
        refused("ttl-zero", key_of(payload(ttl=0)), "ttl is at least one second."),
        refused("ttl-beyond-dates", key_of(payload(ttl=10**12)), "It would expire after 9999."),
        refused("nbf-as-text", key_of(payload(nbf=str(nbf(STARTS_AT)))), "nbf is a number."),
        refused("nbf-true", key_of(payload(nbf=True)), "nbf is a whole number, not true."),
        refused("nbf-null", key_of(payload(nbf=None)), "nbf stands there or does not."),
        refused("nbf-fraction", key_of(payload(nbf=nbf(STARTS_AT) + 0.5)), "nbf is whole."),
        refused(
            "nbf-before-issue", key_of(payload(nbf=nbf(ISSUED_AT) - 1)),
            "No key starts before it was issued.",
        ),
        refused("nbf-beyond-dates", key_of(payload(nbf=10**12)), "It would start after 9999."),
        refused("organisation-missing", key_of(without_org), "org is needed."),
        refused("key-id-as-number", key_of(payload(jti=7)), "jti is text."),
        refused("not-an-object", sign(encode(compact([payload()]))), "PAYLOAD is one object."),
        refused(
            "repeated-member", sign(encode((text[:-1] + f',"ttl":{TTL}}}').encode())),
            "ttl stands there twice.",
        ),
        refused(
            "spaced-json", sign(encode(json.dumps(payload()).encode())), "The JSON is not compact."
        ),
    ]  # fmt: skip


# Permanent licenses

MAC_ID = "00:1A:2B:3C:4D:5E"
MACHINE_ID = "4c4c4544-0042-3510-8052-b4c04f4a4e32"


def permanent(private_key: Ed25519PrivateKey = SIGNING_KEY, **changes: object) -> str:
    """A permanent license; a member that is changed to None is left out."""
    members = {"kid": kid(private_key), "jti": "P4RM-22AA", "org": "ORG-000123", "mac": MAC_ID}
    kept = {name: value for name, value in (members | changes).items() if value is not None}
    return sign(encode(compact(kept)), private_key=private_key, salt=PERMANENT_SALT)


def permanent_vector(
    name: str, key: str, now: datetime, state: str, note: str, **changes: object
) -> Json:
    fields = {
        "kid": kid(SIGNING_KEY),
        "key_id": "P4RM-22AA",
        "organisation_id": "ORG-000123",
        "mac_id": MAC_ID,
        "machine_id": None,
        "issued_at": rfc3339(ISSUED_AT),
    }
    expected = {"state": state, "fields": fields | changes}
    return {"name": name, "key": key, "now": rfc3339(now), "expected": expected, "note": note}


def permanent_licenses() -> list[Json]:
    license = permanent()
    prefix, _, timestamp, signature = license.split(".")
    other_mac = permanent(mac="00:1A:2B:3C:4D:5F").split(".")[1]
    as_temporary = sign(license.split(".")[1])
    members = {"kid": kid(SIGNING_KEY), "jti": "P4RM-22AA", "org": "ORG-000123", "mac": MAC_ID}
    with_null = encode(compact(members | {"machine": None}))
    return [
        permanent_vector("valid", license, MIDWAY, "active", "Without a machine ID."),
        permanent_vector(
            "with-machine-id", permanent(machine=MACHINE_ID), MIDWAY, "active",
            "With what the operating system calls the machine.", machine_id=MACHINE_ID,
        ),
        permanent_vector(
            "at-issue", license, ISSUED_AT, "active", "The issue instant belongs to the license."
        ),
        permanent_vector(
            "six-seconds-early", license, ISSUED_AT - timedelta(seconds=6), "invalid",
            "Well signed, but issued in the future: no two clocks are so far apart.",
        ),
        permanent_vector(
            "a-lifetime-later", license, datetime(2100, 1, 1, tzinfo=UTC), "active",
            "It has no expiry of its own.",
        ),
        permanent_vector(
            "older-signing-key", permanent(OLDER_KEY), MIDWAY, "active",
            "Signed with the other key of the set.", kid=kid(OLDER_KEY),
        ),
        permanent_vector(
            "later-member", permanent(note="later", ttl=1), MIDWAY, "active",
            "Members that are not known are passed over; ttl means nothing here.",
        ),
        refused(
            "tampered-mac", ".".join([prefix, other_mac, timestamp, signature]),
            "The MAC ID of another machine put in.",
        ),
        refused("temporary-salt", as_temporary, "Signed as a temporary key: it is neither."),
        refused("unknown-signing-key", permanent(FOREIGN_KEY), "A key that is not in the set."),
        refused("mac-missing", permanent(mac=None), "mac is needed."),
        refused("mac-as-number", permanent(mac=7), "mac is text."),
        refused("machine-empty", permanent(machine=""), "machine stands there or does not."),
        refused(
            "machine-null", sign(with_null, salt=PERMANENT_SALT), "machine is text where it stands."
        ),
        refused("cut", license[:-1], "The last character is missing."),
    ]  # fmt: skip


# Lists of revoked licenses

LISTED_AT = int(MIDWAY.timestamp())
REVOKED: list[Json] = [
    {
        "jti": "K7QF-3MXP",
        "revoked_at": LISTED_AT - 1800,
        "expires_at": int(EXPIRES_AT.timestamp()),
    },
    {"jti": "P4RM-22AA", "revoked_at": LISTED_AT - 60, "expires_at": None},
]


def revocation_list(
    revoked: list[Json] = REVOKED,
    private_key: Ed25519PrivateKey = SIGNING_KEY,
    retired: list[str] | None = None,
    **header: object,
) -> str:
    """A compact JWS over the list; `header` changes members of its header."""
    protected = {"alg": "EdDSA", "typ": "revoked-licenses+jwt", "kid": kid(private_key)} | header
    claims: Json = {"iat": LISTED_AT, "next_update": LISTED_AT + 3600, "revoked": revoked}
    if retired is not None:
        claims["retired"] = retired
    signed = f"{encode(compact(protected))}.{encode(compact(claims))}"
    return f"{signed}.{encode(private_key.sign(signed.encode('ascii')))}"


def list_vector(
    name: str, text: str, note: str, *, seconds: int = 0, state: str = "current", **fields: object
) -> Json:
    """A list as it is to be read `seconds` after it was made."""
    now = MIDWAY + timedelta(seconds=seconds)
    said = {"iat": LISTED_AT, "next_update": LISTED_AT + 3600, "revoked": REVOKED} | fields
    expected = {"state": state, "fields": said}
    return {"name": name, "list": text, "now": rfc3339(now), "expected": expected, "note": note}


def refused_list(name: str, text: str, note: str) -> Json:
    expected = {"state": "invalid", "fields": None}
    return {"name": name, "list": text, "now": rfc3339(MIDWAY), "expected": expected, "note": note}


def revocation_lists() -> list[Json]:
    text = revocation_list()
    header, claims, signature = text.split(".")
    emptied = revocation_list([]).split(".")[1]
    unsigned = encode(compact({"alg": "none", "typ": "revoked-licenses+jwt"}))
    return [
        list_vector("valid", text, "A temporary key, and a permanent license without an expiry."),
        list_vector("empty", revocation_list([]), "Nothing is revoked.", revoked=[]),
        list_vector(
            "at-next-update", text, "The last instant for which the list speaks.", seconds=3600
        ),
        list_vector(
            "one-second-later", text, "Well signed, but a newer list is due: fetch it.",
            seconds=3601, state="stale",
        ),
        list_vector(
            "older-signing-key", revocation_list(private_key=OLDER_KEY),
            "Signed with the other key of the set.",
        ),
        list_vector(
            "retired-signing-key", revocation_list(retired=[kid(OLDER_KEY)]),
            "Nothing that is signed with the other key of the set is good any more.",
            retired=[kid(OLDER_KEY)],
        ),
        refused_list(
            "emptied", f"{header}.{emptied}.{signature}", "The revocations were taken out."
        ),
        refused_list("alg-none", f"{unsigned}.{claims}.", "Without a signature."),
        refused_list(
            "other-type", revocation_list(typ="JWT"), "Signed by the portal for another purpose."
        ),
        refused_list(
            "critical", revocation_list(crit=["b64"]),
            "Something in it must be understood, and is not (RFC 7515, 4.1.11).",
        ),
        refused_list(
            "unknown-signing-key", revocation_list(private_key=FOREIGN_KEY),
            "A key that is not in the set.",
        ),
        refused_list(
            "kid-of-another-key", revocation_list(kid=kid(OLDER_KEY)),
            "kid names one key of the set, the signature is of the other.",
        ),
        refused_list("cut", text[:-1], "The last character is missing."),
        refused_list("a-license-key", VALID, "A license key in the place of a list."),
    ]  # fmt: skip


# Records of visits

VISIT: Json = {
    "iss": "https://portal.example",
    "iat": LISTED_AT,
    "jti": "dGhpcyBuYW1lcyBhIHZpc2l0LCBhbmQgbm8gb3RoZXI",
    "org": "ORG-000123",
    "sub": "developer@example.com",
    "role": "developer",
    "reason": "B\u00f6rse is down",
    "ticket": "OPS-7",
    "key_id": "K7QF-3MXP",
    "issued_by": "ada@example.com",
    "machine": "lab-7",
    "mac": MAC_ID,
    "address": "198.51.100.9",
    "start": LISTED_AT - 2400,
    "end": LISTED_AT - 600,
    "ended_by": "signed_out",
    "logout_confirmed": LISTED_AT - 600,
}


def visit_record(
    claims: Json = VISIT, private_key: Ed25519PrivateKey = SIGNING_KEY, **header: object
) -> str:
    """A compact JWS over a visit, whose JSON escapes what is beyond ASCII."""
    protected = {"alg": "EdDSA", "typ": "visit+jwt", "kid": kid(private_key)} | header
    escaped = json.dumps(claims, separators=(",", ":")).encode()
    signed = f"{encode(compact(protected))}.{encode(escaped)}"
    return f"{signed}.{encode(private_key.sign(signed.encode('ascii')))}"


def record_vector(name: str, text: str, note: str, fields: Json | None) -> Json:
    expected = {"state": "good" if fields else "invalid", "fields": fields}
    return {"name": name, "record": text, "expected": expected, "note": note}


def visit_records() -> list[Json]:
    text = visit_record()
    header, claims, signature = text.split(".")
    bare = VISIT | {"reason": None, "ticket": None, "logout_confirmed": None}
    later = visit_record(VISIT | {"end": LISTED_AT - 60}).split(".")[1]
    without_end = {name: value for name, value in VISIT.items() if name != "end"}
    none = encode(compact({"alg": "none", "typ": "visit+jwt"}))
    keyed = encode(compact({"alg": "HS256", "typ": "visit+jwt", "kid": kid(SIGNING_KEY)}))
    public = SIGNING_KEY.public_key().public_bytes_raw()
    by_hmac = encode(hmac.digest(public, f"{keyed}.{claims}".encode(), "sha256"))
    bad = (
        ("end-changed", f"{header}.{later}.{signature}", "Let it seem to have lasted longer."),
        ("alg-none", f"{none}.{claims}.", "Without a signature."),
        ("alg-hs256", f"{keyed}.{claims}.{by_hmac}", "The public key as an HMAC's secret."),
        ("other-type", visit_record(typ="JWT"), "Signed by the portal for another purpose."),
        ("critical", visit_record(crit=["b64"]), "Something in it must be understood."),
        (
            "unknown-signing-key", visit_record(private_key=FOREIGN_KEY),
            "Of another installation, or under a key that was retired: it is not in the set.",
        ),
        ("kid-of-another-key", visit_record(kid=kid(OLDER_KEY)), "Signed with the other key."),
        ("end-missing", visit_record(without_end), "Every claim is there."),
        ("end-before-start", visit_record(VISIT | {"end": 1}), "It would end before it began."),
        ("start-as-text", visit_record(VISIT | {"start": "1"}), "start is a number."),
        ("cut", text[:-1], "The last character is missing."),
        ("a-list", revocation_list(), "The list of revoked licenses in the place of a record."),
    )  # fmt: skip
    return [
        record_vector("valid", text, "A developer came, and logged out.", VISIT),
        record_vector("bare", visit_record(bare), "No reason, no ticket, no log-out.", bare),
        record_vector(
            "older-signing-key", visit_record(private_key=OLDER_KEY), "The set's other key.", VISIT
        ),
        *(record_vector(name, changed, note, None) for name, changed, note in bad),
    ]


def document() -> Json:
    """All of docs/key-vectors.json."""
    return {
        "description": "Test vectors of docs/key-format.md. The signing keys are for tests only.",
        "salt": SALT.decode("ascii"),
        "jwks": {"keys": [jwk(SIGNING_KEY), jwk(OLDER_KEY)]},
        "vectors": readable()
        + with_a_start()
        + damaged()
        + misspelt_signatures()
        + wrongly_signed()
        + wrongly_filled(),
        "permanent": {
            "salt": PERMANENT_SALT.decode("ascii"),
            "vectors": permanent_licenses(),
        },
        "revocation_lists": {"vectors": revocation_lists()},
        "visit_records": {"vectors": visit_records()},
    }


if __name__ == "__main__":
    text = json.dumps(document(), indent=2, ensure_ascii=True) + "\n"
    Path(__file__).with_name("key-vectors.json").write_text(text, encoding="ascii")
