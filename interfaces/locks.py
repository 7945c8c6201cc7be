"""The advisory locks of PostgreSQL that processes of ours share: all of them here, so that no two are one by accident."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class AdvisoryLock(IntEnum):
    """Each is held by one connection in the whole system at a time."""

    MIGRATION = 7_303_014_601
    DISPATCHER = 7_303_014_602
    SWEEPER = 7_303_014_603
    PRUNER = 7_303_014_604
    COORDINATOR = 7_303_014_605
    SEALER = 7_303_014_606
