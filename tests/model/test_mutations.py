"""The model can fail: each guard of the protocol, taken away, is missed in a short history that is harmless with it."""

from __future__ import annotations

import pytest

from application.database import Database
from tests.model.mutations import MUTATIONS, Mutation
from tests.model.world import Parts, World

pytestmark = [pytest.mark.servers, pytest.mark.row("R14")]
each = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)


def play(database: Database, parts: Parts, mutation: Mutation) -> None:
    world = World(database, parts)
    try:
        mutation.history(world)
        world.settle()
    finally:
        world.close()


@each
def test_the_protocol_survives_the_history(model_database: Database, mutation: Mutation) -> None:
    play(model_database, Parts(), mutation)


@each
def test_a_protocol_without_the_guard_does_not(model_database: Database, mutation: Mutation) -> None:
    with pytest.raises(AssertionError, match=mutation.found):
        play(model_database, mutation.parts, mutation)


def test_the_owner_is_not_fenced_when_a_cancel_was_faster_and_then_an_acknowledgement_is_lost(model_database: Database) -> None:
    world = World(model_database)
    try:
        world.submit()
        world.dispatch()
        world.deliver(0)
        world.advance(0, records=3)
        world.cancel(0)
        world.advance(0)
        world.lose_acknowledgement(0)
        world.advance(0, records=2)
        world.settle()
    finally:
        world.close()
