"""What is wrong with a Pact contract itself, as opposed to a provider that does not keep it."""

from __future__ import annotations

from application.engine.action import ActionError


def contract_error(message: str, hint: str | None = None) -> ActionError:
    """The contract cannot be read, or asks for what cannot be checked."""
    return ActionError("config", f"contract: {message}", hint=hint)
