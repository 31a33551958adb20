"""License keys: what is made is read back, and nothing else is."""

import base64
import json
import random
import string
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import KeyInvalid
from app.keyformat.license_keys import (
    MAX_KEY_LENGTH,
    TEMPORARY_SALT,
    SignedLicense,
    read_temporary_key,
    sign_temporary_key,
)
from app.keyformat.pasted_keys import clean_key
from app.keyformat.signing_keys import (
    jwk,
    jwk_set,
    kid_of,
    new_private_key,
    private_key_from_pem,
    private_key_to_pem,
    public_key_bytes,
    public_key_from_bytes,
)

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
KID = kid_of(PRIVATE_KEY.public_key())
OTHER_KID = kid_of(OTHER_KEY.public_key())
PUBLIC_KEYS = {KID: PRIVATE_KEY.public_key(), OTHER_KID: OTHER_KEY.public_key()}

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
ORDER = 2**252 + 27742317777372353535851937790883648493
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def key(private_key: Ed25519PrivateKey = PRIVATE_KEY, **changes: object) -> str:
    arguments = {
        "jti": "K7QF-3MXP",
        "organisation_id": "ORG-000123",
        "ttl": 3600,
        "issued_at": NOON,
    } | changes
    return sign_temporary_key(private_key, **arguments)


KEY = key()
HEAD, SIGNATURE = KEY.rsplit(".", 1)


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(
    payload: object, *, timestamp: bytes = b"\x6a\x00\x00\x00", salt: bytes = TEMPORARY_SALT
):
    """A key as a holder of the private key could make it, around any PAYLOAD."""
    if not isinstance(payload, str):
        payload = encode(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    value = f"{payload}.{encode(timestamp)}"
    return f"rw1.{value}.{encode(PRIVATE_KEY.sign(salt + bytes(1) + value.encode()))}"


def claims(**changes: object) -> dict[str, object]:
    return {"kid": KID, "jti": "K7QF-3MXP", "org": "ORG-000123", "ttl": 3600} | changes


def refused(text: str) -> bool:
    """Whether it is no key: refused, or nothing at all."""
    try:
        return read_temporary_key(text, PUBLIC_KEYS.get) is None
    except KeyInvalid:
        return True


# What is made


def test_a_key_is_read_back_as_it_was_made() -> None:
    assert read_temporary_key(KEY, PUBLIC_KEYS.get) == SignedLicense(
        kid=KID, jti="K7QF-3MXP", organisation_id="ORG-000123", ttl=3600, issued_at=NOON
    )
    assert read_temporary_key(KEY, PUBLIC_KEYS.get).expires_at == NOON + timedelta(hours=1)


def test_a_key_has_the_layout_of_the_contract_byte_for_byte() -> None:
    prefix, payload, timestamp, signature = KEY.split(".")
    assert prefix == "rw1"
    assert decode(payload) == (
        b'{"kid":"' + KID.encode() + b'","jti":"K7QF-3MXP","org":"ORG-000123","ttl":3600}'
    )
    assert int.from_bytes(decode(timestamp), "big") == NOON.timestamp()
    value = b"rolling-window/temporary-license/v1\x00" + f"{payload}.{timestamp}".encode()
    PRIVATE_KEY.public_key().verify(decode(signature), value)


def test_the_same_record_gives_the_same_text_each_time() -> None:
    assert {key() for _ in range(20)} == {KEY}


def test_the_fraction_of_a_second_is_dropped() -> None:
    assert key(issued_at=NOON + timedelta(microseconds=999_999)) == KEY


def test_the_zone_in_which_the_instant_is_given_does_not_matter() -> None:
    assert key(issued_at=NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))) == KEY


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        key(issued_at=NOON.replace(tzinfo=None))


def test_a_payload_is_never_compressed() -> None:
    long = key(organisation_id="A" * 500)
    assert long.count(".") == 3
    assert read_temporary_key(long, PUBLIC_KEYS.get).organisation_id == "A" * 500


def test_nothing_secret_is_shown_in_repr() -> None:
    read = repr(read_temporary_key(KEY, PUBLIC_KEYS.get))
    assert SIGNATURE not in read
    assert KEY not in read


@given(
    jti=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    organisation_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=64),
    ttl=st.integers(1, 10**9),
    seconds=st.integers(1, 2**33),
    ahead=st.integers(0, 2**31),
)
def test_whatever_is_signed_is_read_back(
    jti: str, organisation_id: str, ttl: int, seconds: int, ahead: int
) -> None:
    issued_at = datetime.fromtimestamp(seconds, UTC)
    starts_at = issued_at + timedelta(seconds=ahead)
    text = key(
        jti=jti, organisation_id=organisation_id, ttl=ttl, issued_at=issued_at, starts_at=starts_at
    )
    assert read_temporary_key(text, PUBLIC_KEYS.get) == SignedLicense(
        kid=KID,
        jti=jti,
        organisation_id=organisation_id,
        ttl=ttl,
        issued_at=issued_at,
        not_before=starts_at if ahead else None,
    )


def test_a_key_that_starts_when_it_is_issued_does_not_say_so() -> None:
    assert key(starts_at=NOON + timedelta(microseconds=1)) == KEY


def test_a_start_is_a_whole_second_and_the_ttl_counts_from_it() -> None:
    starts_at = NOON + timedelta(days=1)
    read = read_temporary_key(
        key(starts_at=starts_at + timedelta(microseconds=999_999)), PUBLIC_KEYS.get
    )
    assert (read.starts_at, read.expires_at) == (starts_at, starts_at + timedelta(hours=1))


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        key(starts_at=NOON.replace(tzinfo=None))


# What chat and e-mail do


@pytest.mark.parametrize(
    "around",
    [
        " {} ",
        "\t{}\r\n",
        '"{}"',
        "'{}'",
        "`{}`",
        "```\n{}\n```",
        "“{}”",
        "„{}“",
        "”{}”",
        "‘{}’",
        "‚{}‛",
        "‟{}”",
        "«{}»",
        "« {} »",
        "‹{}›",
        "「{}」",
        "『{}』",
        "＂{}＂",
        "' \"{}\" '",
        '{}"',
        "\ufeff{}",
        "\u200b{}\u200d",
        "\u2028{}\u2029\u0085",
        "\u2066{}\u2069",
        "\u3000{}\u00a0",
    ],
)
def test_quotes_and_white_space_around_a_key_are_removed(around: str) -> None:
    assert clean_key(around.format(KEY)) == KEY
    assert not refused(around.format(KEY))


@pytest.mark.parametrize(
    "inside",
    ["\n", "\r\n  ", " ", "\t", "\u00a0", "\u00ad", "\u200b", "\u200c", "\u2060", "\ufeff", "\v\f"],
)
def test_white_space_inside_a_key_is_removed(inside: str) -> None:
    wrapped = inside.join(KEY[start : start + 40] for start in range(0, len(KEY), 40))
    assert clean_key(wrapped) == KEY


@pytest.mark.parametrize("blank", ["", " ", "\r\n\t", '""', "“ ”", "\u200b\ufeff", "\u00a0''"])
def test_what_is_left_blank_is_no_key(blank: str) -> None:
    assert clean_key(blank) == ""
    assert read_temporary_key(blank, PUBLIC_KEYS.get) is None


def test_what_is_not_white_space_stays_inside() -> None:
    for sign in ("'", "\x00", "\x1b", ">", "é", "=", "A"):
        assert refused(KEY[:60] + sign + KEY[60:])


@given(st.text())
def test_cleaning_twice_changes_no_more(text: str) -> None:
    assert clean_key(clean_key(text)) == clean_key(text)


# What is refused


def mutations(source: random.Random) -> Iterator[str]:
    """Keys that are not quite the key."""
    others = ALPHABET + "+/=.!\x00é \n“\u200b"
    while True:
        at = source.randrange(len(KEY))
        to = source.randrange(at, len(KEY)) + 1
        parts = KEY.split(".")
        yield KEY[:at] + source.choice(others) + KEY[at + 1 :]
        yield KEY[:at] + source.choice(others) + KEY[at:]
        yield KEY[:at] + KEY[at + 1 :]
        yield KEY[:at]
        yield KEY[at:]
        yield KEY[:at] + KEY[to:]
        yield KEY[:at] + KEY[at:to] * 2 + KEY[to:]
        yield KEY[:at] + KEY[at:to].swapcase() + KEY[to:]
        yield ".".join(source.sample(parts, 4))
        number = source.randrange(1, 4)
        raw = bytearray(decode(parts[number]))
        raw[source.randrange(len(raw))] ^= 1 << source.randrange(8)
        yield ".".join([*parts[:number], encode(bytes(raw)), *parts[number + 1 :]])


def test_of_ten_thousand_mutated_keys_none_is_accepted() -> None:
    source = random.Random(20261124)
    tried = 0
    for text in mutations(source):
        if clean_key(text) == KEY:
            continue
        assert refused(text), text
        tried += 1
        if tried == 10_000:
            break


def test_every_bit_of_a_key_counts() -> None:
    for at in range(len(KEY)):
        for bit in range(7):
            changed = KEY[:at] + chr(ord(KEY[at]) ^ 1 << bit) + KEY[at + 1 :]
            assert clean_key(changed) == KEY or refused(changed), changed


def test_every_cut_and_every_doubling_is_refused() -> None:
    assert all(refused(KEY[:length]) for length in range(len(KEY)))
    assert refused(KEY + KEY)
    assert refused(KEY + "\n" + KEY)


def test_a_signature_has_one_spelling_only() -> None:
    raw = decode(SIGNATURE)
    for last in ALPHABET:
        assert (last == SIGNATURE[-1]) != refused(f"{HEAD}.{SIGNATURE[:-1]}{last}")
    for spelling in (SIGNATURE + "=", SIGNATURE + "==", SIGNATURE + "=" * 8, "!!!!" + SIGNATURE):
        assert refused(f"{HEAD}.{spelling}")
    assert refused(f"{HEAD}.{SIGNATURE[:40]}!!!!{SIGNATURE[40:]}")
    assert refused(f"{HEAD}.{base64.b64encode(raw).decode()}")


def test_the_other_base64_alphabet_is_refused() -> None:
    texts = (key(jti=f"K{number}") for number in range(100))
    text = next(text for text in texts if "_" in text and "-" in text)
    assert not refused(text)
    assert refused(text.replace("_", "/"))
    assert refused(text.replace("-", "+"))


def test_a_signature_with_the_order_of_the_group_added_is_refused() -> None:
    raw = decode(SIGNATURE)
    grown = (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")
    assert refused(f"{HEAD}.{encode(raw[:32] + grown)}")


@pytest.mark.parametrize(
    "salt",
    [
        b"",
        b"rolling-window/permanent-license/v1",
        b"rolling-window/temporary-license/v2",
        b"itsdangerous",
    ],
)
def test_a_key_signed_for_another_purpose_is_refused(salt: bytes) -> None:
    assert not refused(signed(claims()))
    assert refused(signed(claims(), salt=salt))


def test_a_key_of_an_unknown_signing_key_is_refused() -> None:
    assert refused(key(new_private_key()))
    with pytest.raises(KeyInvalid):
        read_temporary_key(KEY, {}.get)


def test_a_key_that_names_another_signing_key_is_refused() -> None:
    assert not refused(key(OTHER_KEY))
    assert refused(signed(claims(kid=OTHER_KID)))
    with pytest.raises(KeyInvalid):
        read_temporary_key(KEY, {KID: OTHER_KEY.public_key()}.get)


@pytest.mark.parametrize(
    "kid",
    ["", "\x00", "A" * 7 + "\x00", "\ud800" * 8, "A" * 7, "A" * 9, "A" * 3000, "AAAA AAA"],
)
def test_whoever_looks_up_the_signing_key_is_asked_for_nothing_that_is_no_kid(kid: str) -> None:
    """A database that is asked for a zero byte, or half a character, raises."""
    asked: list[str] = []
    body = json.dumps(claims(kid=kid), separators=(",", ":"), ensure_ascii=False)
    payload = encode(body.encode("utf-8", "surrogatepass"))
    with pytest.raises(KeyInvalid):
        read_temporary_key(signed(payload), asked.append)
    assert asked == []


def test_one_signing_key_is_looked_up_and_no_other() -> None:
    asked: list[str] = []

    def find(kid: str) -> Ed25519PublicKey | None:
        asked.append(kid)
        return PUBLIC_KEYS.get(kid)

    assert read_temporary_key(KEY, find)
    assert asked == [KID]


def test_a_compressed_payload_is_refused_however_well_signed() -> None:
    body = encode(zlib.compress(json.dumps(claims(), separators=(",", ":")).encode()))
    assert refused(signed("." + body))
    assert refused(signed(body))


@pytest.mark.parametrize(
    "payload",
    [
        *({**claims(), "kid": kid} for kid in (None, 1, [], {}, "", KID + "A", True)),
        *({**claims(), "jti": jti} for jti in (None, 7, [], {}, "", False)),
        *({**claims(), "org": org} for org in (None, 7, ["ORG-000123"], {}, "", True)),
        *(
            {**claims(), "ttl": ttl}
            for ttl in (None, "3600", 3600.0, 1e300, 0, -1, True, [], 10**12, 10**18, 10**1000)
        ),
        *({name: value for name, value in claims().items() if name != left} for left in claims()),
        [],
        [claims()],
        {},
        None,
        1,
        "text",
    ],
)
def test_a_payload_of_the_wrong_shape_is_refused_however_well_signed(payload: object) -> None:
    if isinstance(payload, str):
        payload = encode(json.dumps(payload).encode())
    assert refused(signed(payload))


@pytest.mark.parametrize(
    "change",
    [
        (b'"ttl":3600', b'"ttl":3600,"ttl":3600'),
        (b'"ttl":3600', b'"ttl":7200,"ttl":3600'),
        (b'"ttl":3600', b'"ttl": 3600'),
        (b'"ttl":3600', b'"ttl":3600,"more":NaN'),
        (b'"ttl":3600', b'"ttl":3600,"more":Infinity'),
        (b'"ttl":3600', b'"ttl":3600,"more":1e999'),
        (b'"ttl":3600', b'"ttl":36e2'),
        (b'"ORG-000123"', b'"\\u004fRG-000123"'),
        (b'"ORG-000123"', b'"\\ud800"'),
        (b'"ORG-000123"', b'"\xff"'),
        (b"}", b"}\n"),
        (b"}", b"}}"),
        (b"{", b"\xef\xbb\xbf{"),
    ],
)
def test_json_in_any_but_the_compact_form_is_refused(change: tuple[bytes, bytes]) -> None:
    raw = json.dumps(claims(), separators=(",", ":")).encode()
    assert not refused(signed(encode(raw)))
    assert raw != raw.replace(*change)
    assert refused(signed(encode(raw.replace(*change))))


def test_deeply_nested_json_is_refused() -> None:
    assert refused(signed(encode(b"[" * 2900)))
    assert refused(signed(encode(b'{"kid":' * 400)))


def test_a_member_that_later_features_add_is_passed_over() -> None:
    assert not refused(signed(claims(machine="M-1")))
    assert not refused(signed({"ttl": 1, "org": "O", "jti": "J", "kid": KID}))


@pytest.mark.parametrize(
    "timestamp", [b"", b"\x00", b"\x00\x6a\x00\x00\x00", b"\xff" * 8, b"\x01" * 8, b"\x01" * 9]
)
def test_a_timestamp_that_is_no_date_or_misspelt_is_refused(timestamp: bytes) -> None:
    assert refused(signed(claims(), timestamp=timestamp))


def test_the_last_expiry_is_the_last_second_of_the_year_9999() -> None:
    end = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    for issue, too_late in ((end - 3600, False), (end - 3599, True), (end, True), (end + 1, True)):
        assert refused(signed(claims(), timestamp=issue.to_bytes(5, "big"))) is too_late


def test_a_payload_in_non_canonical_base64_is_refused_however_well_signed() -> None:
    misspelt = 0
    for jti in ("K", "KK", "KKK"):  # PAYLOAD with none, one and two bytes over
        body = encode(json.dumps(claims(jti=jti), separators=(",", ":")).encode())
        assert not refused(signed(body))
        for spelling in (body[:-1] + last for last in ALPHABET):
            if spelling != body and decode(spelling) == decode(body):
                assert refused(signed(spelling))
                misspelt += 1
        assert refused(signed(body + "="))
    assert misspelt == 15 + 3


def test_a_timestamp_in_non_canonical_base64_is_refused_however_well_signed() -> None:
    value = signed(claims()).removeprefix("rw1.").rsplit(".", 1)[0]
    assert value.endswith(".agAAAA")
    misspelt = value[:-1] + "B"
    assert decode("agAAAB") == decode("agAAAA")
    signature = PRIVATE_KEY.sign(TEMPORARY_SALT + b"\0" + misspelt.encode())
    assert refused(f"rw1.{misspelt}.{encode(signature)}")


def test_a_key_at_the_longest_is_read_and_one_longer_refused() -> None:
    fitting = [key(organisation_id="A" * length) for length in range(2850, 2960)]
    assert {len(text) for text in fitting if not refused(text)} == {
        len(text) for text in fitting if len(text) <= MAX_KEY_LENGTH
    }
    assert any(len(text) > MAX_KEY_LENGTH for text in fitting)


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\ud800",
        "🔑" * 1000,
        "rw1.",
        "rw1....",
        "." * 100_000,
        "rw1." + "." * 1000,
        " " * 1_000_000,
        '"' * 1_000_000,
        "A" * 1_000_000,
        "rw1." + "A" * 1_000_000 + ".AAAAAA." + "A" * 86,
        "\ud800" * 1_000_000,
        "a\u200b" * 500_000,
        KEY.replace(".", "。"),
        KEY.replace("A", "\u0391"),
        KEY.upper(),
        KEY.encode("utf-16-le").decode("latin-1"),
        f"https://example.com/?key={KEY}",
        f"rw1.bnVsbA.agAAAA.{SIGNATURE}",
    ],
    ids=lambda text: f"{text[:10]!a}-{len(text)}",
)
def test_rubbish_is_refused_and_nothing_worse(text: str) -> None:
    assert refused(text)


@settings(max_examples=500)
@given(st.text(st.characters(exclude_categories=())) | st.text(ALPHABET + ".=+/ "))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    assert refused(text)
    assert refused("rw1." + text)


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.sampled_from(["kid", "jti", "org", "ttl", "x"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KID),
    ),
    st.binary(max_size=9),
)
def test_no_signed_rubbish_raises_anything_but_key_invalid(
    payload: dict[str, object], timestamp: bytes
) -> None:
    raw = json.dumps(payload, separators=(",", ":")).encode()
    try:
        read = read_temporary_key(signed(encode(raw), timestamp=timestamp), PUBLIC_KEYS.get)
    except KeyInvalid:
        return
    assert (read.jti, read.organisation_id, read.ttl) == tuple(
        payload[name] for name in ("jti", "org", "ttl")
    )
    assert read.expires_at > read.issued_at


def test_a_refusal_never_repeats_the_key() -> None:
    with pytest.raises(KeyInvalid) as refusal:
        read_temporary_key(KEY[:-1], PUBLIC_KEYS.get)
    assert KEY[10:40] not in str(refusal.value)
    assert refusal.value.__suppress_context__


# Signing keys


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """Appendix A.2 and A.3 of RFC 8037."""
    public_key = public_key_from_bytes(decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
    assert kid_of(public_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"[:8]
    assert jwk(public_key) == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmx",
        "use": "sig",
        "alg": "EdDSA",
    }


def test_a_jwk_set_holds_the_public_keys_in_order_and_no_private_part() -> None:
    keys = jwk_set(PUBLIC_KEYS.values())["keys"]
    assert [entry["kid"] for entry in keys] == [KID, OTHER_KID]
    assert not any("d" in entry for entry in keys)


def test_keys_come_back_from_their_bytes() -> None:
    pem = private_key_to_pem(PRIVATE_KEY)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert key(private_key_from_pem(pem)) == KEY
    raw = public_key_bytes(PRIVATE_KEY.public_key())
    assert len(raw) == 32
    assert public_key_bytes(public_key_from_bytes(raw)) == raw


def test_new_keys_differ() -> None:
    assert len({kid_of(new_private_key().public_key()) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"secret rubbish",
        private_key_to_pem(PRIVATE_KEY)[:60],
        PRIVATE_KEY.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        ),
        X25519PrivateKey.from_private_bytes(b"\x01" * 32).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    ],
)
def test_a_file_that_is_no_signing_key_is_refused_without_repeating_it(pem: bytes) -> None:
    with pytest.raises(ValueError, match="not an unencrypted Ed25519 private key in PEM"):
        private_key_from_pem(pem)


@pytest.mark.parametrize("raw", [b"", b"\x01" * 31, b"\x01" * 33])
def test_a_public_key_has_32_bytes(raw: bytes) -> None:
    with pytest.raises(ValueError, match="32"):
        public_key_from_bytes(raw)
