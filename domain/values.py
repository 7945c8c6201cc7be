"""Dataclasses that cost little: the `dataclass` of this project, in place of the one of the standard library.

There, a frozen class takes 0.6 ms to make, most of it in compiling methods that are seldom called, and an instance takes four
times as long as one that is not frozen (Python 3.11). A command begins by making a hundred classes, and a step makes dozens of
instances. Here only `__init__` is compiled. Equality, hash and text are general methods, and that a frozen instance is left
alone is mypy's to see to: it takes this for the standard library's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses

    def dataclass(*, frozen: bool = False, slots: bool = False, eq: bool = True, repr: bool = True) -> Any:
        """As `dataclasses.dataclass`; what is frozen is not kept from changes at run time."""

        def make(cls: type) -> type:
            if eq:
                _give(cls, "__eq__", _equal)
                _give(cls, "__hash__", _hash if frozen else None)
            if repr:
                _give(cls, "__repr__", _text)
            return dataclasses.dataclass(slots=slots, eq=False, repr=False, frozen=_has_frozen_base(cls))(cls)

        return make

    def _has_frozen_base(cls: type) -> bool:
        """Whether the class must be frozen in the way of the standard library, as one that it derives from is."""
        return any(
            base.__dict__["__dataclass_params__"].frozen for base in cls.__mro__ if "__dataclass_params__" in base.__dict__
        )

    def _give(cls: type, name: str, method: Any) -> None:
        if name not in cls.__dict__:
            setattr(cls, name, method)

    def _values(instance: Any) -> tuple[Any, ...]:
        return tuple(getattr(instance, one.name) for one in dataclasses.fields(instance) if one.compare)

    def _equal(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or _values(self) == _values(other)

    def _hash(self: Any) -> int:
        return hash(_values(self))

    def _text(self: Any) -> str:
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr)
        return f"{type(self).__qualname__}({', '.join(shown)})"
