"""Variables of Postman: `{{name}}` as references, dynamic ones as built-ins."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any

from application.importing.text import RESERVED, clean, compose, each_text, free, refer
from domain.values import dataclass

_VARIABLE = re.compile(r"\{\{\s*([^{}]{1,200}?)\s*\}\}")
_DYNAMIC = {
    "guid": "UUID", "randomUUID": "UUID", "timestamp": "TIMESTAMP", "isoTimestamp": "ISO_TIMESTAMP",
    "randomInt": "RANDOM_INT % 1001",
    "randomAlphaNumeric": "RANDOM_STRING[0]", "randomPassword": "RANDOM_STRING", "randomBoolean": "RANDOM_INT % 2 == 0",
    "randomFirstName": "FAKER.first_name", "randomLastName": "FAKER.last_name", "randomFullName": "FAKER.name",
    "randomEmail": "FAKER.email", "randomExampleEmail": "FAKER.safe_email", "randomUserName": "FAKER.user_name",
    "randomPhoneNumber": "FAKER.phone_number", "randomCity": "FAKER.city", "randomCountry": "FAKER.country",
    "randomStreetAddress": "FAKER.street_address", "randomCompanyName": "FAKER.company", "randomUrl": "FAKER.url",
    "randomDomainName": "FAKER.domain_name", "randomIP": "FAKER.ipv4", "randomIPV6": "FAKER.ipv6", "randomWord": "FAKER.word",
    "randomWords": "FAKER.sentence", "randomLoremSentence": "FAKER.sentence", "randomLoremParagraph": "FAKER.paragraph",
    "randomJobTitle": "FAKER.job", "randomColor": "FAKER.color_name", "randomUserAgent": "FAKER.user_agent",
}  # fmt: skip


@dataclass(slots=True)
class Names:
    """Our names for Postman's, the same everywhere; `used` are those that something reads, `unknown` dynamic ones."""

    known: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    faker: bool = False

    def name_of(self, name: str) -> str:
        """The name that the language allows."""
        if name not in self.known:
            plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "value"
            plain = plain if not plain[0].isdigit() else f"_{plain}"
            self.known[name] = free(plain, [*self.known.values(), *RESERVED])
        return self.known[name]

    def reserve(self, name: str) -> str:
        """A name like this for something else than a variable of Postman."""
        found = free(re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "value", self.known.values())
        self.known[f"\0{found}"] = found
        return found

    def read(self, name: str) -> str:
        """The name, noted as one that something reads."""
        found = self.name_of(name)
        self.used.add(found)
        return found

    def text(self, text: str) -> str:
        """The text with its variables as references."""
        text = clean(text)
        parts: list[str] = []
        at = 0
        for found in _VARIABLE.finditer(text):
            parts += [text[at : found.start()], self._reference(found[1], found[0])]
            at = found.end()
        return compose([*parts, text[at:]]) if parts else text

    def value(self, value: Any) -> Any:
        """Every text in a value so."""
        return each_text(value, self.text)

    def _reference(self, name: str, whole: str) -> str:
        if not name.startswith("$"):
            return refer(self.read(name))
        expression = _DYNAMIC.get(name[1:])
        if expression is None:
            self.unknown.add(name)
            return whole
        self.faker = self.faker or expression.startswith("FAKER")
        return refer(expression)


def is_reference(text: str) -> bool:
    """Whether a text holds one of Postman's variables."""
    return _VARIABLE.search(text) is not None
