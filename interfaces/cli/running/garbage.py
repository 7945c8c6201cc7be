"""Garbage collection in short-lived commands: nearly everything that they make lives as long as they do."""

from __future__ import annotations

import gc


def spare() -> None:
    """Look for cycles rarely: with Python's own thresholds this takes a tenth of the time of imports and of reading flows."""
    gc.set_threshold(50_000, 20, 50)


def settle() -> None:
    """What is there now stays: never look through it again."""
    gc.freeze()
