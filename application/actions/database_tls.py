"""Whom databases are trusted by: the certificate authorities of this machine."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def authorities() -> str:
    """The file of certificate authorities that the machine trusts."""
    import certifi

    return ssl.get_default_verify_paths().cafile or certifi.where()
