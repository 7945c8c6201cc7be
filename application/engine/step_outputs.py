"""Outputs of a step: the values that it hands to later steps, and what it hands on of its own error."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from domain.definition import Step
from domain.expressions import ExpressionError, Scope, extract
from domain.limits import LIMITS
from domain.masking import Masker
from domain.outcome import StepError

NO_ERROR = {"message": None, "kind": None, "step": None}
"""What outputs know as `error` when the step has not failed."""
_ERROR_PATH = re.compile(r"\s*error\.\w+\s*\??\s*")


def extract_outputs(
    step: Step, scope: Scope, masker: Masker, warn: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, ExpressionError]]:
    """The outputs, and why others are not there. Secret ones are masked from now on; `warn` is told of those that cannot be."""
    if not step.output:
        return {}, {}
    outputs: dict[str, Any] = {}
    missing: dict[str, ExpressionError] = {}
    scope = scope.child({"error": scope.names.get("error", NO_ERROR)})
    for name, path in step.output.items():
        try:
            value = extract(path, scope)
        except ExpressionError as error:
            missing[name] = error
            continue
        if name in step.secret_outputs and value is not None and not masker.add(str(value)):
            least = LIMITS.secret_min_chars
            warn(f"the secret output {name} has fewer than {least} characters and cannot be masked")
        outputs[name] = value
    return outputs, missing


def outputs_of_error(step: Step, error: StepError, masker: Masker) -> dict[str, Any]:
    """The outputs that are parts of the `error` of a step that could not do its work; it has no others."""
    paths = {name: path for name, path in step.output.items() if _ERROR_PATH.fullmatch(path)}
    scope = Scope({"error": {"message": error.message, "kind": error.kind, "step": step.id}})
    return {name: masker.mask(extract(path.rstrip("? ") + "?", scope)) for name, path in paths.items()}
