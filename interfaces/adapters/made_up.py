"""Made-up data (`FAKER.name`) from the package Faker, the same for the same seed and version."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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


_PROVIDERS = {
    "address.countryCode": "country_code", "address.secondaryAddress": "secondary_address", "address.state": "state",
    "address.stateAbbr": "state_abbr", "address.street": "street_name", "address.timeZone": "timezone",
    "address.zipCode": "postcode", "commerce.color": "color_name", "company.catchPhrase": "catch_phrase",
    "company.companyName": "company", "company.name": "company", "datatype.datetime": "date_time",
    "datatype.float": "pyfloat", "datatype.number": "random_number", "datatype.string": "pystr", "datatype.uuid": "uuid4",
    "date.future": "future_datetime", "date.month": "month_name", "date.past": "past_datetime",
    "date.recent": "date_time_this_month",
    "date.soon": "future_datetime", "date.weekday": "day_of_week", "finance.account": "bban", "finance.bic": "swift",
    "finance.creditCardNumber": "credit_card_number", "finance.currencyName": "currency_name", "image.imageUrl": "image_url",
    "internet.avatar": "image_url", "internet.color": "hex_color", "internet.exampleEmail": "safe_email",
    "internet.ip": "ipv4", "internet.mac": "mac_address", "lorem.lines": "text",
    "location.zipCode": "postcode", "name.findName": "name", "name.fullName": "name", "name.jobTitle": "job",
    "person.fullName": "name", "person.jobTitle": "job", "phone.number": "phone_number", "random.number": "random_number",
    "random.uuid": "uuid4", "string.uuid": "uuid4", "system.fileExt": "file_extension", "system.filePath": "file_path",
}  # fmt: skip
"""Members of faker.js whose provider has another name here; of others the last part in snake case is one."""
_ADJECTIVES = ("Ergonomic", "Handmade", "Licensed", "Practical", "Recycled", "Rustic", "Sleek", "Small", "Tasty", "Unbranded")
_MATERIALS = ("Bronze", "Concrete", "Cotton", "Granite", "Metal", "Rubber", "Steel", "Wooden")
_PRODUCTS = ("Ball", "Bike", "Chair", "Gloves", "Hat", "Keyboard", "Lamp", "Mouse", "Shirt", "Shoes", "Soap", "Table")
_DEPARTMENTS = (
    "Baby",
    "Beauty",
    "Books",
    "Electronics",
    "Games",
    "Garden",
    "Grocery",
    "Health",
    "Home",
    "Music",
    "Sports",
    "Toys",
)
_COMPOSED: Mapping[str, Callable[[Any], str]] = {
    "commerce.department": lambda made: made.random_element(_DEPARTMENTS),
    "commerce.price": lambda made: f"{made.random_int(100, 100_000) / 100:.2f}",
    "commerce.product": lambda made: made.random_element(_PRODUCTS),
    "commerce.productAdjective": lambda made: made.random_element(_ADJECTIVES),
    "commerce.productMaterial": lambda made: made.random_element(_MATERIALS),
    "commerce.productName": lambda made: " ".join(map(made.random_element, (_ADJECTIVES, _MATERIALS, _PRODUCTS))),
    "finance.amount": lambda made: f"{made.random_int(0, 100_000) / 100:.2f}",
    "internet.protocol": lambda made: made.random_element(("http", "https")),
}
"""What the package has no provider for."""


def made_up(provider: str, seed: int) -> Any:
    """A value of a provider as plain data: `first_name`, or as faker.js names it, `name.firstName`. Fault of kind name when
    there is no such provider, with the nearest."""
    names, generator = _faker()
    if provider in _COMPOSED:
        generator.seed_instance(seed)
        return _COMPOSED[provider](generator)
    name = provider if provider in names else _PROVIDERS.get(provider, _in_snake_case(provider.rpartition(".")[2]))
    if name not in names:
        group = provider.rpartition(".")[0]
        known = [*_PROVIDERS, *_COMPOSED, *(f"{group}.{one}" for one in names)] if group else names
        raise Fault("name", f"there is no FAKER.{provider}", did_you_mean(provider, known))
    generator.seed_instance(seed)
    return _plain(getattr(generator, name)())


def _in_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


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
