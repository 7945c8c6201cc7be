"""How an action says that it could not work, or that what it checks does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from domain.errors import Invalid

ONLY_NAMED = (
    "workers have only the files that a flow names without templates, as they were when it was sent: push it again, write the"
    " name out, or run it with `testmesh run`"
)
"""What to do about a file or a flow that is missing on a worker."""

CONNECTING = {
    "connection_refused": "is the server running there?",
    "auth": "check the user and the password",
    "tls": "check the certificate, or whether the server speaks TLS at all",
}
"""What to do about a connection that did not come about, by kind."""


class ActionError(Exception):
    """An action could not do its work (it is an `error`, not a failed assertion).

    `kind` is stable: timeout, connection_refused, connection_error, dns, tls, egress, protocol, response_too_large,
    config, query, ... `exchange` is what was sent and received so far, for the failure report (unmasked; the engine masks).
    `key` is the config key that is wrong; without it, one that the message of a `config` error begins with.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        hint: str | None = None,
        exchange: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.exchange = exchange
        self.key = key

    def key_in(self, config: Mapping[str, Any]) -> str | None:
        """The key of the config that is wrong, if it is one."""
        first = self.message.split(maxsplit=1)[0].rstrip(":") if self.kind == "config" and self.message else None
        return next((key for key in (self.key, first) if key in config), None)


class ActionFailed(Exception):
    """The action worked and what it checks does not hold (wait_for not met, assert action): verdict `failed`. `place` is where
    it is written, below the config."""

    def __init__(
        self, message: str, *, result: Mapping[str, Any] | None = None, place: tuple[str | int, ...] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.result = result
        self.place = place


class BodyFailed(Exception):
    """Nested steps did not all pass; they are recorded on their own, so this only says which. `verdict` is failed or error."""

    def __init__(self, verdict: Literal["failed", "error"], message: str, *, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.verdict: Literal["failed", "error"] = verdict
        self.message = message
        self.result = result


class ActionUnusable(Invalid):
    """An action of an installed package that cannot be used; the message names the package."""

    code = "action_unusable"

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
