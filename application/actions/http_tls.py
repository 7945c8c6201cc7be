"""TLS of HTTP requests: contexts that are built once and shared, and that note when a handshake begins."""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

from application.engine.action import ActionError
from domain.values import dataclass


@dataclass(slots=True)
class Marks:
    """What a connection that is being made is for, and when its parts began and ended (monotonic seconds, 0 = never)."""

    host: str
    begun: float
    dns_begun: float = 0.0
    dns_ended: float = 0.0
    connect_begun: float = 0.0
    tls_begun: float = 0.0
    connected: float = 0.0
    answered: float = 0.0

    def timings(self) -> dict[str, float]:
        """Milliseconds of each part: dns, connect, tls (0 on a connection that was kept), first_byte; total is up to now."""
        open_from = self.dns_ended or self.connect_begun
        parts = {
            "dns": self.dns_ended - self.dns_begun,
            "connect": (self.tls_begun or self.connected) - open_from,
            "tls": self.connected - self.tls_begun if self.tls_begun else 0.0,
            "first_byte": self.answered - (self.connected or self.begun),
            "total": time.monotonic() - self.begun,
        }
        return {name: round(max(0.0, seconds) * 1000, 3) for name, seconds in parts.items()}


MARKS: ContextVar[Marks] = ContextVar("http_marks")
"""Those of the request that the current task makes: resolvers and socket factories are not told what they work for."""


class TimedContext(ssl.SSLContext):
    """A client context that notes when a handshake begins."""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """As in the base class."""
        marks = MARKS.get(None)
        if marks is not None:
            marks.tls_begun = time.monotonic()
        return super().wrap_bio(*args, **options)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM texts: the client's certificate and key (both or none), and the authorities to trust instead of the machine's."""

    certificate: str = ""
    key: str = ""
    password: str = ""
    authorities: str = ""


NO_CERTIFICATE = Certificate()


@dataclass(frozen=True, slots=True)
class Tls:
    """How a request would speak TLS. The context is made when it first does; `own` says that it knows the step's own key or
    authorities, so that its connections are for this execution alone."""

    context: Callable[[], ssl.SSLContext]
    own: bool


class Contexts:
    """The TLS contexts of one execution. Those without a certificate are built once a process (25 ms each); a key that a step
    gives is forgotten with its execution."""

    def __init__(self) -> None:
        self._own: dict[tuple[bool, Certificate, tuple[str, ...]], ssl.SSLContext] = {}

    def choose(self, verify: bool, certificate: Certificate, protocols: tuple[str, ...]) -> Tls:
        """TLS with these choices. ActionError `config` for a certificate that cannot be used."""
        if certificate == NO_CERTIFICATE:
            return _without_certificate(verify, protocols)
        choice = (verify, certificate, protocols)
        if choice not in self._own:
            self._own[choice] = _built(*choice)
        return Tls(lambda: self._own[choice], own=True)


@cache
def _without_certificate(verify: bool, protocols: tuple[str, ...]) -> Tls:
    return Tls(lambda: _shared(verify, protocols), own=False)


@cache
def _shared(verify: bool, protocols: tuple[str, ...]) -> ssl.SSLContext:
    return _built(verify, NO_CERTIFICATE, protocols)


def _built(verify: bool, certificate: Certificate, protocols: tuple[str, ...]) -> ssl.SSLContext:
    context = TimedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(list(protocols))
    try:
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif certificate.authorities:
            context.load_verify_locations(cadata=certificate.authorities)
        else:
            _trust_machine(context)
        if certificate.certificate:
            _present(context, certificate)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ActionError("config", f"cert cannot be used: {error}", hint="give PEM texts; the key must fit") from None
    return context


def read_certificate(value: Any) -> Certificate:
    """`cert` as written: PEM text with certificate and key, or an object: certificate, key, password, ca."""
    if value is None:
        return NO_CERTIFICATE
    if isinstance(value, str):
        return Certificate(_pem(value), value)
    if not isinstance(value, Mapping) or value.keys() - {"certificate", "cert", "key", "password", "ca"}:
        raise ActionError("config", "cert is PEM text, or an object of certificate, key, password and ca")
    texts = {name: str(text) for name, text in value.items() if text is not None}
    own = texts.get("certificate") or texts.get("cert") or ""
    key, ca = texts.get("key") or own, texts.get("ca") or ""
    return Certificate(own and _pem(own), key and _pem(key), texts.get("password", ""), ca and _pem(ca))


def _pem(text: str) -> str:
    if "-----BEGIN " not in text:
        raise ActionError(
            "config", "cert must hold PEM text", hint="paste the text, or put it into a variable: files are not read"
        )
    return text


def _trust_machine(context: ssl.SSLContext) -> None:
    context.load_default_certs()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        import certifi

        context.load_verify_locations(certifi.where())


def _present(context: ssl.SSLContext, certificate: Certificate) -> None:
    """The standard library takes a certificate from a file only; an unreadable one that is gone at once."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{certificate.certificate}\n{certificate.key}\n")
        file.flush()
        context.load_cert_chain(file.name, password=certificate.password or "")
