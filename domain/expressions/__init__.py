"""The expression language: parse, evaluate and explain expressions; render templates; extract by path."""

from __future__ import annotations

from domain.expressions.builtins import Builtins
from domain.expressions.errors import ExpressionError
from domain.expressions.evaluator import Explanation, Expression, evaluate, explain, parse
from domain.expressions.scope import Own, Scope, StepValue, Told
from domain.expressions.template import extract, is_template, render, template_errors, template_names

__all__ = [
    "Builtins",
    "Explanation",
    "Expression",
    "ExpressionError",
    "Own",
    "Scope",
    "StepValue",
    "Told",
    "evaluate",
    "explain",
    "extract",
    "is_template",
    "parse",
    "render",
    "template_errors",
    "template_names",
]
