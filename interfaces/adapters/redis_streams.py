"""Names of the queue's streams, and how a worker reads several of them in the order of their priorities.

A stream for each shard, set of labels (`default` for none) and priority: testmesh:run:{0}:gpu,region=eu:high. The braces keep
the streams of a shard on one node of a Redis Cluster.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from application.ports import RunCommand
from domain.queueing import PRIORITIES
from domain.values import dataclass

DEFAULT = "default"
LEVELS = tuple(sorted(PRIORITIES, key=lambda name: -PRIORITIES[name]))
"""The names of the priorities, highest first."""
STREAM = "testmesh:run:{0}:default:normal"
"""Where commands go that ask for nothing."""
GROUP = "workers"
POOLS = "testmesh:{0}:pools"
"""The sets of labels that somebody has asked for."""
WAKE = "testmesh:run:wake"
"""The channel that says that there is something in one of several shards."""
SHARE = 8
"""Of so many commands that a worker takes, one is the oldest of the lowest priority that waits, and one of the middle one."""

TAKE = """
local group, me, want, turn = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local pools = #KEYS / 3
local found = {}

local function read(level, most)
    for p = 0, pools - 1 do
        if most <= 0 then return end
        local key = KEYS[(level - 1) * pools + (turn + p) % pools + 1]
        local answer = redis.pcall('XREADGROUP', 'GROUP', group, me, 'COUNT', most, 'STREAMS', key, '>')
        if answer and answer.err then
            if not string.find(answer.err, 'NOGROUP', 1, true) then return answer end
            redis.call('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
            answer = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', most, 'STREAMS', key, '>')
        end
        if answer then
            for _, entry in ipairs(answer[1][2]) do
                found[#found + 1] = {key, entry[1], entry[2]}
                most = most - 1
            end
        end
    end
end

local low, middle = 0, 0
for t = turn + 1, turn + want do
    if t % SHARE == 0 then low = low + 1 elseif t % SHARE == SHARE / 2 then middle = middle + 1 end
end
read(3, low)
read(2, math.min(middle, want - #found))
for level = 1, 3 do read(level, want - #found) end
return found
""".replace("SHARE", str(SHARE))
"""Reads up to ARGV[3] entries: KEYS are the streams of one shard, by priority, the same sets of labels for each. Groups that
vanished are made again, from the beginning."""


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of a queue in so many shards."""

    shards: int = 1

    def of(self, command: RunCommand) -> str:
        """The stream of a command."""
        shard = zlib.crc32(command.execution.bytes) % self.shards
        level = max(min(command.priority, 1), -1)
        return _name(shard, pool_of(command.runs_on), next(name for name, rank in PRIORITIES.items() if rank == level))

    def of_shard(self, shard: int, pools: Sequence[str]) -> list[str]:
        """The streams of a shard, by priority, as TAKE wants them."""
        return [_name(shard, pool, level) for level in LEVELS for pool in pools]

    def all(self, pools: Sequence[str]) -> list[str]:
        """Every stream of these sets of labels."""
        return [name for shard in range(self.shards) for name in self.of_shard(shard, pools)]

    def epochs(self) -> list[str]:
        """The marks, one a shard, since a shard may lose its data alone."""
        return [f"testmesh:{{{shard}}}:epoch" for shard in range(self.shards)]


def pool_of(runs_on: Iterable[str]) -> str:
    """The name of a set of labels."""
    return ",".join(sorted(runs_on)) or DEFAULT


def labels_of(pool: str) -> tuple[str, ...]:
    """The labels of that name."""
    return () if pool == DEFAULT else tuple(pool.split(","))


def way_of(stream: str) -> tuple[int, tuple[str, ...]]:
    """Priority and labels of what is in a stream."""
    *_, pool, level = stream.split(":")
    return PRIORITIES.get(level, 0), labels_of(pool)


def _name(shard: int, pool: str, level: str) -> str:
    return f"testmesh:run:{{{shard}}}:{pool}:{level}"
