"""The actions as a worker has them: built-in ones in its own process, those of installed packages apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from application.actions.registry import Actions
from application.engine.action import Action, ActionContext
from domain.values import dataclass
from interfaces.workers.plugins.process import PluginProcess

_PROCESS = "process of plugins"
"""Under this key an execution's process stands among its resources, and is closed with them."""


class ActionsApart(Mapping[str, Action]):
    """The same actions; those of packages are run in a process of the execution's own."""

    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._found: dict[str, Action] = {}

    def __getitem__(self, name: str) -> Action:
        found = self._found.get(name)
        if found is None:
            found = self._actions[name]
            if not self._actions.is_built_in(name):
                found = replace(found, run=_Apart(name, self._actions.plugins.source(name)))
            self._found[name] = found
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._actions

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)

    def __len__(self) -> int:
        return len(self._actions)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Apart:
    """Runs an action where it can hurt nobody else."""

    name: str
    owner: str

    async def __call__(self, config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        process = context.resources.get(_PROCESS)
        if process is None:
            process = context.resources[_PROCESS] = PluginProcess()
        result: Mapping[str, Any] = await process.run(self.name, self.owner, config, context)
        return result
