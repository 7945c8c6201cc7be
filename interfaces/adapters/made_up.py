"""Made-up data (`FAKER.name`) from the package Faker, the same for the same seed and version."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from domain.expressions.errors import Fault, did_you_mean

_NOT_DATA = frozenset(
  {
    "add_provider", "binary", "csv", "del_arguments", "dsv", "enum", "fixed_width", "format", "get_arguments",
    "get_formatter", "get_providers", "get_words_list", "image", "json", "json_bytes", "optional", "parse",
    "profile", "provider", "psv", "pystr_format", "random", "random_element", "random_elements",
    "random_sample", "seed", "seed_instance", "seed_locale", "set_arguments", "set_formatter",
    "simple_profile", "tar", "tsv", "unique", "xml", "zip", "items", "locales", "weights", "factories",
    "cache_pattern", "del_factory", "generator_attrs",
  }
)  # fmt: skip
"""What the package offers beside providers of a value, and providers of files."""
_MOST = 10_000


def made_up(provider: str, seed: int) -> Any:
    """A value of a provider as plain data. Fault of kind name when there is no such provider, with the nearest."""
    names, generator = _faker()
    if provider not in names:
        raise Fault("name", f"there is no FAKER.{provider}", did_you_mean(provider, names))
    generator.seed_instance(seed)
    return _plain(getattr(generator, provider)())


@cache
def _faker() -> tuple[frozenset[str], Any]:
    try:
        from faker import Faker
    except ImportError:
        raise Fault("value", "FAKER needs the package faker", "install the extra: pip install 'testmesh[faker]'") from None
    proxy = Faker()
    generator = proxy._factories[0]
    names = frozenset(name for name in dir(generator) if not name.startswith("_")) - _NOT_DATA
    return names, generator


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int | float) or value is None:
        return value[:_MOST] if isinstance(value, str) else value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)[:_MOST]
