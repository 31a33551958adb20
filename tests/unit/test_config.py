"""Settings: each is read, each wrong value stops the start with one line that names it."""

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import ROOT, Config, load_config
from app.core.durations import Rate
from app.core.errors import ConfigError
from app.keyformat.signing_keys import new_private_key, private_key_to_pem
from app.settings.sources import environment

SETTINGS = {
    "BIND": ("0.0.0.0:80", {"bind": ("0.0.0.0", 80)}),
    "PUBLIC_URL": ("https://p.example:8443/x/", {"public_url": "https://p.example:8443/x"}),
    "TICKET_URL": (
        "https://t.example:81/a?id={ticket}#x",
        {"ticket_url": "https://t.example:81/a?id={ticket}#x"},
    ),
    "HOSTS": (
        "A.example, b.example:8443,[::1]",
        {"hosts": ("a.example", "b.example:8443", "[::1]")},
    ),
    "INSTANCE": ("/srv/portal", {"instance": Path("/srv/portal")}),
    "SECRET_KEY": ("k" * 32, {"secret_key": "k" * 32}),
    "SIGNING_KEYS": ("/srv/keys", {"signing_keys": "/srv/keys"}),
    "SAMPLE_DATA": ("on", {"sample_data": True}),
    "SAMPLE_PASSWORD": ("correct-horse", {"sample_password": "correct-horse"}),
    "LICENSE_TTLS": ("1h, 4s,1 day", {"license_ttls": (3600, 4, 86400)}),
    "LICENSE_TTL_DEFAULT": ("3h", {"license_ttl_default": 10800}),
    "LICENSE_TTL_MAX": ("30d", {"license_ttl_max": 2592000}),
    "HEARTBEAT_SECONDS": ("1", {"heartbeat_seconds": 1}),
    "AGENT_IDLE_SECONDS": ("60", {"agent_idle_seconds": 60}),
    "SIGNIN_FAILURES": ("5 per hour", {"signin_failures": Rate(5, 3600)}),
    "INSPECT_LIMIT": ("9 per second", {"inspect_limit": Rate(9, 1)}),
    "SESSION_IDLE_SECONDS": ("60", {"session_idle_seconds": 60}),
    "SESSION_MAX_SECONDS": ("60", {"session_max_seconds": 60}),
    "DATABASE_WAIT_SECONDS": ("1", {"database_wait_seconds": 1}),
    "TRUSTED_PROXIES": ("2", {"trusted_proxies": 2}),
    "HTTPS": ("yes", {"https": True}),
    "WORKERS": ("4", {"workers": 4}),
    "OIDC_ROLE_CLAIM": ("realm.roles", {"oidc_role_claim": "realm.roles"}),
}
WRONG = {
    "BIND": (
        *("8000", "localhost", "localhost:0", "localhost:65536", "::1:80", "a b:80", "h:八"),
        *("unix:", "unix:portal.sock", "unix:/" + "x" * 101),
    ),
    "PUBLIC_URL": (
        *("portal.example", "ftp://p.example", "https://", "https://a b", "https://p.example?x"),
        *("https://u:p@p.example", "https://p.example/a//b", "https://p.example/#x"),
    ),
    "TICKET_URL": (
        *("https://t.example/", "t.example/{ticket}", "javascript:{ticket}", "ftp://t/{ticket}"),
        *("https://{ticket}.example/", "https://t.example/{ticket}{ticket}", "https://t/{other}"),
        *('https://t.example/"{ticket}', "https://t.example/{ticket} x", "https://u@t/{ticket}"),
    ),
    "HOSTS": ("a b", "*.example", "https://a.example", ",", "a.example/x"),
    "DATABASE_URL": (
        "portal.db",
        "mysql://host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///portal.db?mode=rwc",
        "postgresql+psycopg2://host/db",
        "postgresql://host:port/db",
        "://",
    ),
    "SECRET_KEY": ("short", "k" * 31),
    "SIGNING_KEYS": ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",),
    "ADMIN_EMAIL": ("admin", "a@b@c", "a b@c", "a" * 250 + "@b.example"),
    "SAMPLE_DATA": ("maybe", "2"),
    "LICENSE_TTLS": ("3x", "1h,,3h", "1h,1h", "1h,60m", "0h", "-1h", "1.5h"),
    "LICENSE_TTL_DEFAULT": ("soon", "0s"),
    "LICENSE_TTL_MAX": ("7", "forever"),
    "HEARTBEAT_SECONDS": ("0", "3601", "-1", "5s", "٥", "1e3", "9" * 5000),
    "AGENT_IDLE_SECONDS": ("1", "604801"),
    "SIGNIN_FAILURES": ("10", "0 per minute", "10/minute", "ten per minute", "10 per week"),
    "INSPECT_LIMIT": ("10 per  minute", "1000000 per day"),
    "SESSION_IDLE_SECONDS": ("59", "604801"),
    "SESSION_MAX_SECONDS": ("59", "2592001"),
    "DATABASE_WAIT_SECONDS": ("0", "601"),
    "TRUSTED_PROXIES": ("-1", "11", "yes"),
    "HTTPS": ("https",),
    "WORKERS": ("0", "65"),
    "OIDC_ISSUER": (
        *("login.example", "http://login.example", "https://", "ftp://login.example"),
        *("https://u@login.example", "https://login.example?x", "https://l.example/#x"),
        *("http://127.0.0.1.evil.example", "https://[::1"),
    ),
    "OIDC_NAME": ("x" * 51, "a\nb"),
    "OIDC_ROLE_MAP": ("admins", "admins=boss", "=auditor", "a=auditor,", "a=client"),
    "LOCAL_SIGN_IN": ("perhaps",),
}
PROVIDER = {
    "OIDC_ISSUER": "https://login.example/realms/ours",
    "OIDC_CLIENT_ID": "portal",
    "OIDC_CLIENT_SECRET": "hidden",
    "OIDC_ROLE_MAP": "a=b=super_admin, audit = auditor",
}


SECRETS = ("SECRET_KEY", "DATABASE_URL", "SIGNING_KEYS", "ADMIN_PASSWORD", "SAMPLE_PASSWORD")


def load(**settings: str) -> Config:
    return load_config({f"PORTAL_{name}": text for name, text in settings.items()})


def refusal(environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as refused:
        load_config(environ)
    line = refused.value.detail
    assert "\n" not in line
    return line


def test_without_any_setting_the_defaults_of_the_contract_hold() -> None:
    config = load_config({})
    assert config.bind == ("127.0.0.1", 8000)
    assert config.instance == ROOT / "instance"
    assert config.database_file == ROOT / "instance" / "portal.db"
    assert config.secret_key == ""
    assert config.signing_keys == str(ROOT / "instance" / "signing-keys")
    assert config.license_ttls == (3600, 10800, 21600, 43200, 86400, 259200, 604800)
    assert (config.license_ttl_default, config.license_ttl_max) == (3600, 604800)
    assert (config.heartbeat_seconds, config.agent_idle_seconds) == (5, 900)
    assert config.signin_failures == Rate(10, 60)
    assert config.inspect_limit == Rate(120, 60)
    assert (config.admin_email, config.admin_password) == ("", "")
    assert config.sample_data is False


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_is_read(name: str) -> None:
    text, expected = SETTINGS[name]
    config = load(**{name: text})
    assert {field: getattr(config, field) for field in expected} == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_a_blank_setting_is_as_good_as_none(name: str) -> None:
    assert load(**{name: "  "}) == load_config({})


@pytest.mark.parametrize(("name", "text"), [(name, text) for name in WRONG for text in WRONG[name]])
def test_a_wrong_value_is_refused_in_one_line_that_names_the_setting(name: str, text: str) -> None:
    line = refusal({f"PORTAL_{name}": text})
    assert line.startswith(f"PORTAL_{name}: ")
    assert "allowed" in line or "such as" in line


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_never_repeated(name: str) -> None:
    wrong = {"SIGNING_KEYS": "-----BEGIN secret"}
    alone = {"SAMPLE_PASSWORD": {"PORTAL_BIND": "wrong"}}
    text = wrong.get(name, "secret")
    said = refusal({f"PORTAL_{name}": text} | alone.get(name, {}))
    assert "secret" not in said.replace("put the secret", "")


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_do_not_show_in_the_configurations_repr(name: str) -> None:
    good = {
        "DATABASE_URL": "postgresql://u:hidden-hidden@h/db",
        "SECRET_KEY": "hidden" * 6,
        "ADMIN_EMAIL": "a@b.example",
    }
    both = {"ADMIN_EMAIL": "a@b.example"} if name == "ADMIN_PASSWORD" else {}
    config = load(**{name: good.get(name, "hidden-hidden")}, **both)
    assert "hidden" not in repr(config)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_read_from_a_file_without_its_line_end(name: str, tmp_path: Path) -> None:
    text = {"DATABASE_URL": "sqlite:////srv/portal.db"}.get(name, "s" * 40)
    file = tmp_path / "secret"
    file.write_text(f"{text}\n")
    both = {"ADMIN_EMAIL": "a@b.example"} if name == "ADMIN_PASSWORD" else {}
    assert load(**{f"{name}_FILE": str(file)}, **both) == load(**{name: text}, **both)


def test_what_is_no_secret_is_not_read_from_a_file() -> None:
    assert refusal({"PORTAL_BIND_FILE": "/run/bind"}).startswith(
        "PORTAL_BIND_FILE: there is no such setting; did you mean"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("PORTAL_LICENCE_TTLS", "PORTAL_LICENSE_TTLS"),
        ("PORTAL_TRUSTED_PROXY", "PORTAL_TRUSTED_PROXIES"),
        ("portal_bind", "PORTAL_BIND"),
        ("PORTAL_SECRET_KEY_FLIE", "PORTAL_SECRET_KEY_FILE"),
    ],
)
def test_a_misspelt_setting_stops_the_start_and_names_the_nearest(written: str, meant: str) -> None:
    assert refusal({written: "1h"}) == (
        f"{written}: there is no such setting; did you mean {meant}? "
        "The operator's guide has the table of all."
    )


def test_what_is_not_the_portals_is_left_alone() -> None:
    assert load_config({"PATH": "/bin", "PORTALS": "x", "MY_PORTAL_BIND": "x"}) == load_config({})


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_byte_order_mark_and_a_line_end_are_no_part_of_a_secret(tmp_path: Path, end: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbf" + b"k" * 32 + end.encode())
    assert load(SECRET_KEY_FILE=str(file)).secret_key == "k" * 32


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_a_postgresql_address_is_read(scheme: str) -> None:
    address = load(DATABASE_URL=f"{scheme}://u:p%40ss@host:5433/db?sslmode=require").database_url
    assert address == "postgresql+psycopg://u:p%40ss@host:5433/db?sslmode=require"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:geh@eim@host/db",
        "postgresql://u:geheim@host:port/db",
        "geheim",
        "mysql://u:geheim@host/db",
    ],
)
def test_an_unreadable_database_address_is_refused_and_no_part_of_it_repeated(address: str) -> None:
    sentence = refusal({"PORTAL_DATABASE_URL": address})
    assert sentence.startswith("PORTAL_DATABASE_URL: this is no database address")
    assert "\n" not in sentence
    for part in ("geh", "eim", "host/db"):
        assert part not in sentence


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"\xff\xfe", "not UTF-8"), (b" \n", "empty")]
)
def test_a_secrets_file_that_is_missing_unreadable_or_empty_is_refused(
    content: bytes | None, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    line = refusal({"PORTAL_SECRET_KEY_FILE": str(file)})
    assert line.startswith("PORTAL_SECRET_KEY_FILE: ")
    assert why in line


def test_a_folder_in_the_place_of_a_secrets_file_is_refused(tmp_path: Path) -> None:
    assert "directory" in refusal({"PORTAL_SECRET_KEY_FILE": str(tmp_path)})


def test_a_secret_and_its_file_are_not_both_accepted(tmp_path: Path) -> None:
    environ = {"PORTAL_SECRET_KEY": "k" * 32, "PORTAL_SECRET_KEY_FILE": str(tmp_path / "x")}
    assert refusal(environ).startswith("PORTAL_SECRET_KEY: ")


def test_a_private_key_may_be_given_as_it_is() -> None:
    pem = private_key_to_pem(new_private_key()).decode()
    assert load(SIGNING_KEYS=pem).signing_keys == pem.strip()


def test_a_choice_above_the_ceiling_is_refused() -> None:
    line = refusal({"PORTAL_LICENSE_TTLS": "1h,8d"})
    assert line == (
        "PORTAL_LICENSE_TTLS: 8 days is above the ceiling of 7 days; "
        "take it out or raise PORTAL_LICENSE_TTL_MAX."
    )
    assert load(LICENSE_TTLS="1h,8d", LICENSE_TTL_MAX="8d").license_ttls == (3600, 691200)


def test_a_default_that_is_no_choice_is_refused() -> None:
    line = refusal({"PORTAL_LICENSE_TTLS": "3h,6h"})
    assert line == (
        "PORTAL_LICENSE_TTL_DEFAULT: 1 hr is not one of the choices; allowed: 3 hrs, 6 hrs."
    )
    assert load(LICENSE_TTLS="3h,6h", LICENSE_TTL_DEFAULT="3h").license_ttl_default == 10800


def test_a_heartbeat_must_be_more_often_than_the_idle_limit() -> None:
    environ = {"PORTAL_HEARTBEAT_SECONDS": "60", "PORTAL_AGENT_IDLE_SECONDS": "60"}
    assert refusal(environ).startswith("PORTAL_HEARTBEAT_SECONDS: ")
    assert load(HEARTBEAT_SECONDS="59", AGENT_IDLE_SECONDS="60").heartbeat_seconds == 59


@pytest.mark.parametrize(
    "environ",
    [{"PORTAL_ADMIN_EMAIL": "a@b.example"}, {"PORTAL_ADMIN_PASSWORD": "correct-horse"}],
)
def test_the_first_admin_needs_both_an_e_mail_and_a_password(environ: dict[str, str]) -> None:
    assert refusal(environ).startswith("PORTAL_ADMIN_EMAIL: ")


def test_an_sqlite_file_of_ones_own_is_opened_as_carefully_as_the_usual_one() -> None:
    config = load(DATABASE_URL="sqlite:////srv/data/portal.db")
    assert config.database_file == Path("/srv/data/portal.db")
    assert "mode=rw" in config.database_url


def test_a_postgresql_address_gets_the_driver_that_is_there() -> None:
    config = load(DATABASE_URL="postgresql://u:p@host/db")
    assert config.database_url == "postgresql+psycopg://u:p@host/db"
    assert config.database_file is None


def test_the_environment_goes_before_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORTAL_WORKERS=3\nPORTAL_BIND=h:1\nPORTAL_SECRET_KEY=${HOME}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTAL_BIND", "h:2")
    found = environment()
    assert found["PORTAL_WORKERS"] == "3"
    assert found["PORTAL_BIND"] == "h:2"
    assert found["PORTAL_SECRET_KEY"] == "${HOME}"


def test_an_env_file_that_is_no_text_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(b"PORTAL_BIND=\xff\xfe")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^\.env: it is not UTF-8 text; save it as UTF-8\.$"):
        environment()


def test_an_env_files_values_are_taken_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(
        b"\xef\xbb\xbf# a comment\r\n\r\nPORTAL_ADMIN_PASSWORD=pass # word\r\n"
        b'PORTAL_SAMPLE_PASSWORD="quoted"\r\nexport PORTAL_WORKERS = 3 \r\n'
    )
    monkeypatch.chdir(tmp_path)
    found = environment()
    assert found["PORTAL_ADMIN_PASSWORD"] == "pass # word"
    assert found["PORTAL_SAMPLE_PASSWORD"] == '"quoted"'
    assert found["PORTAL_WORKERS"] == "3"


def test_what_flasks_command_has_copied_out_of_the_env_file_does_not_win_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flask` cuts values at " #", and sets them in the environment before the portal looks."""
    (tmp_path / ".env").write_text("PORTAL_ADMIN_PASSWORD=pass # word\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", "pass")
    assert environment()["PORTAL_ADMIN_PASSWORD"] == "pass # word"
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", "from the shell")
    assert environment()["PORTAL_ADMIN_PASSWORD"] == "from the shell"


def test_a_line_of_an_env_file_that_is_no_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORTAL_WORKERS=3\nPORTAL_BIND h:1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^\.env: line 2 is no setting; write NAME=value\.$"):
        environment()


NAMES = sorted({*SETTINGS, *WRONG, *(f"{name}_FILE" for name in SECRETS)})
PIECES = st.sampled_from(
    ("1h", "per", "minute", ",", "://", "@", ":", "sqlite:///", "postgresql://h:", "[", "]", "\x00")
)
TEXTS = st.one_of(
    st.text(),
    st.lists(st.one_of(PIECES, st.text(max_size=4))).map("".join),
    st.binary().map(lambda raw: base64.b64encode(raw).decode()),
    st.binary(max_size=8).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=4))
def test_no_text_raises_anything_but_a_config_error_of_one_line(settings: dict[str, str]) -> None:
    with suppress(ConfigError):
        load(**settings)
        return
    refusal({f"PORTAL_{name}": text for name, text in settings.items()})


def test_a_short_idle_limit_alone_brings_a_heartbeat_that_fits_it() -> None:
    config = load_config({"PORTAL_AGENT_IDLE_SECONDS": "3"})
    assert (config.agent_idle_seconds, config.heartbeat_seconds) == (3, 1)
    assert load_config({}).heartbeat_seconds == 5


def test_the_readmes_way_to_watch_a_key_run_out_is_a_setting() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [ttls] = re.findall(r"`PORTAL_LICENSE_TTLS=(\S+) make run`", readme)
    assert min(load(LICENSE_TTLS=ttls).license_ttls) == 60


def test_a_provider_is_read_and_has_a_name() -> None:
    config = load(**PROVIDER)
    assert config.oidc_name == "login.example"
    assert config.oidc_role_map == (("a=b", "super_admin"), ("audit", "auditor"))
    assert load(**PROVIDER, OIDC_NAME="Ours", LOCAL_SIGN_IN="off").local_sign_in is False
    assert "hidden" not in repr(config)
    assert load(**PROVIDER | {"OIDC_ISSUER": "http://[::1]:5000"}).oidc_name == "::1"


@pytest.mark.parametrize("name", PROVIDER)
def test_a_provider_takes_all_four_settings(name: str) -> None:
    rest = {other: text for other, text in PROVIDER.items() if other != name}
    line = refusal({f"PORTAL_{other}": text for other, text in rest.items()})
    assert line.startswith(f"PORTAL_{name}: it is missing")


def test_without_a_provider_local_sign_in_stays_on() -> None:
    assert refusal({"PORTAL_LOCAL_SIGN_IN": "off"}).startswith("PORTAL_LOCAL_SIGN_IN: off leaves")
