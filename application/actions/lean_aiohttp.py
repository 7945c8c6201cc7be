"""aiohttp, imported without the two TLS contexts that it builds for itself.

It loads the machine's authorities twice when it is imported (aiohttp/connector.py), 25 ms each, whether TLS is spoken or not.
No connection of ours uses those contexts: each that speaks TLS is given one of `http_tls`. What is left here trusts nobody.
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _no_authorities() -> Iterator[None]:
    """Contexts that this thread makes meanwhile trust nobody; those of other threads are as ever."""
    thread, load = threading.get_ident(), ssl.SSLContext.set_default_verify_paths  # of the base class, in C

    def skip(context: ssl.SSLContext) -> None:
        if threading.get_ident() != thread:
            load(context)

    ssl.SSLContext.set_default_verify_paths = skip  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths


if "aiohttp" not in sys.modules:
    with _no_authorities():
        import aiohttp
else:
    import aiohttp

__all__ = ["aiohttp"]
