"""nginx and Caddy with the files of deploy/, word for word but for ports, certificate and name."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_connection

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.config import ROOT
from tests.browser.conftest import PATIENCE
from tests.conftest import missing

NAME = "localhost"
DEPLOY = ROOT / "deploy"
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {file};
}}
"""
"""What Debian's nginx.conf does around the files in conf.d."""


@dataclass(frozen=True)
class Ports:
    http: int
    https: int
    portal: int


@contextmanager
def proxy(name: str, ports: Ports, folder: Path) -> Iterator[None]:
    """The proxy that reads deploy/NAME, in front of the portal on its port."""
    program = "nginx" if name.startswith("nginx") else "caddy"
    if shutil.which(program) is None:
        missing(program, f"apt-get install {program}")
    _certificate(folder)
    file = folder / name
    file.write_text(_elsewhere((DEPLOY / name).read_text(), ports, folder))
    command = (_nginx if program == "nginx" else _caddy)(file, folder)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )
    try:
        _wait_for(ports.https, process, log)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _elsewhere(text: str, ports: Ports, folder: Path) -> str:
    """`text` for this machine: its ports, certificate, name and portal, and nothing else."""
    text = re.sub(r"/etc/ssl/\S+/(fullchain|privkey)\.pem", rf"{folder}/\1.pem", text)
    text = re.sub(r"(listen|http_port) 80\b", rf"\1 {ports.http}", text)
    text = re.sub(r"(listen|https_port) 443\b", rf"\1 {ports.https}", text)
    text = re.sub(r"(?m)^(\s*server_name )\S+;", rf"\1{NAME};", text)
    text = re.sub(r"(?m)^\S+\.example \{", f"{NAME} {{", text)
    return text.replace("127.0.0.1:8000", f"127.0.0.1:{ports.portal}")


def _nginx(file: Path, folder: Path) -> list[str]:
    main = folder / "main.conf"
    user = "user root;" if os.getuid() == 0 else ""
    main.write_text(NGINX.format(folder=folder, file=file, user=user))
    command = ["nginx", "-c", str(main), "-p", str(folder)]
    _must_be_valid([*command, "-t"])
    return command


def _caddy(file: Path, folder: Path) -> list[str]:
    """Caddy's interface for administrators has a port of its own: here it is off."""
    adapted = _must_be_valid(["caddy", "adapt", "--config", str(file), "--adapter", "caddyfile"])
    main = folder / "caddy.json"
    main.write_text(json.dumps(json.loads(adapted) | {"admin": {"disabled": True}}))
    return ["caddy", "run", "--config", str(main)]


def _must_be_valid(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert answer.returncode == 0, answer.stderr
    assert "warn" not in answer.stderr.lower(), answer.stderr
    return answer.stdout


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            create_connection(("127.0.0.1", port), PATIENCE).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    pytest.fail(f"The proxy did not start:\n{log.read_text()}")
