"""One HTTP request, bounded in time and in size, with every failure told in a sentence.

Redirects are never followed: a session token, a password or a key must not go where a redirect
points. Certificates are always checked.
"""

import email.utils
import functools
import ipaddress
import json
import re
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
)

from .errors import PortalUnreachable, WrongUse

CONNECT_SECONDS = 5.0
MAX_RETRY_AFTER = 300.0
"""Seconds; a longer wait asked for counts as this one: no stray answer silences an agent."""

_CHUNK = 65_536

_CERTIFICATE_TROUBLE = {
    9: "is not valid yet by this machine's clock",
    10: "has expired by this machine's clock",
    18: "is signed by itself, and not known here (--ca-file names the authority to trust)",
    19: "is from an authority that is not known here (--ca-file names the authority to trust)",
    20: "is from an authority that is not known here (--ca-file names the authority to trust)",
    21: "is from an authority that is not known here (--ca-file names the authority to trust)",
    23: "was revoked",
    62: "is for another host name",
    64: "is for another IP address",
}
"""OpenSSL's X509_V_ERR_* numbers, in words that follow "The certificate of HOST"."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, whoever gave it. `media_type` is in small letters, without parameters."""

    status: int
    media_type: str
    body: bytes
    retry_after: float | None = None

    def json(self) -> object:
        """The body as JSON. Raises ValueError."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class Transport:
    """Sends requests. May be used by several threads at once.

    `ca_file`: PEM file of the authorities to trust instead of the system's. `proxy`: address of an
    HTTP proxy; without one, those of the environment hold (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), but
    never for this machine itself. `plain_http`: allow http:// to other machines.

    Raises WrongUse if the file or the proxy cannot be used.
    """

    def __init__(
        self, *, ca_file: Path | None = None, proxy: str | None = None, plain_http: bool = False
    ) -> None:
        self._tls = _tls_context(ca_file)
        self._proxy = proxy
        self._plain_http = plain_http
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        if proxy is not None:
            self._pools[proxy] = self._proxy_pool(proxy)

    def check_address(self, address: str) -> None:
        """Raises WrongUse unless `address` is one to send secrets to: https, or this machine."""
        url = split_address(address)
        if url.scheme == "http" and not (self._plain_http or _is_this_machine(url.hostname or "")):
            raise WrongUse(
                f"http://{url.netloc} would send passwords and keys readable by everybody on the "
                "way. Use https://, or --plain-http if that is what you want."
            )

    def send(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        seconds: float,
        max_bytes: int,
    ) -> Answer:
        """The answer to one request, within about `seconds` from now.

        A name look-up, or headers that trickle in, can take longer: whoever must not wait asks from
        another thread. Raises PortalUnreachable, also if the answer has over `max_bytes` or is a
        redirect.
        """
        give_up_at = time.monotonic() + seconds
        host = split_address(address).netloc
        try:
            response = self._request(method, address, headers, body, seconds)
            content = _read(response, give_up_at, max_bytes)
        except (HTTPError, OSError, HTTPException, ValueError) as error:
            raise PortalUnreachable(_sentence(error, host)) from None
        if content is None:
            raise PortalUnreachable(
                f"The answer from {host} is larger than {max_bytes} bytes or came too slowly."
            )
        if 300 <= response.status < 400:
            raise PortalUnreachable(_redirect_sentence(host, response.headers.get("Location", "")))
        content_type = Message()
        content_type["Content-Type"] = response.headers.get("Content-Type", "")
        return Answer(
            status=response.status,
            media_type=content_type.get_content_type(),
            body=content,
            retry_after=_retry_after(response.headers),
        )

    def _request(
        self,
        method: str,
        address: str,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        def once() -> urllib3.BaseHTTPResponse:
            return self._pool(address).request(
                method,
                address,
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )

        if method not in {"GET", "DELETE"}:
            return once()
        try:
            return once()
        except ProtocolError:  # likely a kept connection that the other side has closed meanwhile
            return once()

    def _pool(self, address: str) -> urllib3.PoolManager:
        proxy = self._proxy or _proxy_of_the_environment(split_address(address))
        if proxy not in self._pools:
            self._pools[proxy] = (
                urllib3.PoolManager(ssl_context=self._tls) if proxy is None
                else self._proxy_pool(proxy)
            )  # fmt: skip
        return self._pools[proxy]

    def _proxy_pool(self, proxy: str) -> urllib3.ProxyManager:
        try:
            url = split_address(proxy if "://" in proxy else f"http://{proxy}")
        except WrongUse:
            raise WrongUse("A proxy is given as http://host:port (or https://).") from None
        headers = None
        if url.username is not None:
            name, password = map(urllib.parse.unquote, (url.username, url.password or ""))
            headers = urllib3.make_headers(proxy_basic_auth=f"{name}:{password}")
        host = url.netloc.rpartition("@")[2]
        return urllib3.ProxyManager(
            f"{url.scheme}://{host}",
            proxy_headers=headers,
            ssl_context=self._tls,
            proxy_ssl_context=self._tls,
        )


@functools.cache
def _system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes a tenth of a second: reads every authority


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return _system_trust()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise WrongUse(
            f"{ca_file} is not a file of certificates in PEM that can be read."
        ) from None


def split_address(address: str) -> urllib.parse.SplitResult:
    """Raises WrongUse unless `address` is http:// or https:// with a host."""
    try:
        url = urllib.parse.urlsplit(address)
        _ = url.port
        usable = url.scheme in {"http", "https"} and bool(url.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise WrongUse("An address begins with https:// (or http://) and a host name.")
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _proxy_of_the_environment(url: urllib.parse.SplitResult) -> str | None:
    host = url.hostname or ""
    if _is_this_machine(host) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def _read(response: urllib3.BaseHTTPResponse, give_up_at: float, max_bytes: int) -> bytes | None:
    """The body; None if it is larger than allowed or not there in time."""
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := response.read1(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes or time.monotonic() > give_up_at:
                response.close()
                return None
    finally:
        response.release_conn()
    return b"".join(chunks)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After (RFC 9110) in seconds from now, which may be a date; None if there is none."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:6]), MAX_RETRY_AFTER)
    try:
        until = email.utils.parsedate_to_datetime(text).timestamp()
        since = email.utils.parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(until - since, 0.0), MAX_RETRY_AFTER)


def _redirect_sentence(host: str, location: str) -> str:
    try:
        url = split_address(location)
    except WrongUse:
        return f"{host} answers with a redirect, which is not followed."
    target = ascii(f"{url.scheme}://{url.netloc.rpartition('@')[2]}"[:100])
    return f"{host} answers with a redirect to {target}, which is not followed."


def _sentence(error: BaseException, host: str) -> str:
    """What went wrong, for a person. Never what was sent, and no proxy's password."""
    if isinstance(error, ProxyError) or _refused_by_proxy(error):
        return _proxy_sentence(error, host)
    told = filter(None, (_told(cause, host) for cause in _causes(error)))
    return next(told, f"The connection with {host} broke.")


def _told(cause: BaseException, host: str) -> str | None:
    sentence = None
    match cause:
        case ssl.SSLCertVerificationError():
            trouble = _CERTIFICATE_TROUBLE.get(cause.verify_code, "cannot be trusted")
            sentence = f"The certificate of {host} {trouble}."
        case ssl.SSLError():
            sentence = f"No safe connection with {host}: it does not speak TLS as it should."
        case NameResolutionError():
            sentence = f"The host name of {host} is not known."
        case ConnectionRefusedError():
            sentence = f"Nothing is listening at {host}."
        case NewConnectionError():
            sentence = f"There is no network route to {host}."
        case ConnectTimeoutError() | ReadTimeoutError() | TimeoutError():
            sentence = f"{host} does not answer in time."
    return sentence


def _refused_by_proxy(error: BaseException) -> str | None:
    """The status with which a proxy refused to let a request through, if that is what happened."""
    said = " ".join(map(str, _causes(error)))
    match = re.search(r"Tunnel connection failed: (\d{3})", said)
    return match[1] if match else None


def _proxy_sentence(error: BaseException, host: str) -> str:
    if status := _refused_by_proxy(error):
        return f"The proxy does not let requests through to {host} (status {status})."
    return f"The proxy on the way to {host} cannot be reached."


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and what is behind it, the innermost first."""
    found: list[BaseException] = []
    current: object = error
    while isinstance(current, BaseException) and current not in found:
        found.append(current)
        inner = getattr(current, "reason", None) or getattr(current, "original_error", None)
        nested = next((a for a in current.args if isinstance(a, BaseException)), None)
        current = inner if isinstance(inner, BaseException) else nested or current.__cause__
    return found[::-1]
