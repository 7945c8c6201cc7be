"""Merkle tree hashes as in RFC 6962, section 2.1, with SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def tree_hash(leaves: Iterable[bytes]) -> bytes:
    """The root over the leaves in their order, 32 bytes; of no leaves, SHA-256 of nothing."""
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
        # A node without a partner rises as it is: the tree that RFC 6962 defines by splitting at a power of two.
        level = above + level[len(level) - len(level) % 2 :]
    return level[0]
