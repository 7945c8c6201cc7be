"""Made-up data under the names of Python's Faker and of faker.js."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from domain.expressions.errors import Fault
from interfaces.adapters.made_up import _PROVIDERS, _faker, made_up

DOCUMENTED = {
    "name.firstName": r"\w+",
    "name.lastName": r"\w+",
    "name.fullName": r"\w+.* \w+.*",
    "internet.email": r"\S+@\S+\.\w+",
    "internet.userName": r"[\w.]+",
    "phone.phoneNumber": r"[-+x.()\d ]+",
    "address.streetAddress": r".*\d.*",
    "address.city": r"\w.*",
    "company.companyName": r"\w.*",
    "commerce.productName": r"\w+ \w+ \w+",
    "commerce.price": r"\d+\.\d\d",
}


@pytest.mark.parametrize(("provider", "form"), DOCUMENTED.items())
def test_what_the_original_documents_is_there_and_the_same_for_the_same_seed(provider: str, form: str) -> None:
    value = made_up(provider, 5)
    assert re.fullmatch(form, value)
    assert made_up(provider, 5) == value
    assert any(made_up(provider, seed) != value for seed in range(6, 16))


def test_values_that_are_no_text() -> None:
    assert UUID(made_up("datatype.uuid", 1))
    assert {made_up("datatype.boolean", seed) for seed in range(20)} == {True, False}


def test_the_last_part_in_snake_case_is_a_provider() -> None:
    assert made_up("internet.userAgent", 3) == made_up("userAgent", 3) == made_up("user_agent", 3)


def test_every_name_of_the_table_means_a_provider() -> None:
    names, _ = _faker()
    assert set(_PROVIDERS.values()) <= names


@pytest.mark.parametrize(
    ("provider", "nearest"),
    [("name.frstName", "name.first_name"), ("frist_name", "first_name"), ("commerce.prodctName", "commerce.productName")],
)
def test_an_unknown_name_is_an_error_with_the_nearest(provider: str, nearest: str) -> None:
    with pytest.raises(Fault) as raised:
        made_up(provider, 1)
    assert raised.value.hint == f'did you mean "{nearest}"?'
