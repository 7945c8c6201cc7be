"""R13: every event of every release can be read for ever. `python -m tests.domain.test_golden_events` adds what is missing.

A file of `golden` holds an event as a release stored it, by topic and version. An event whose fields change gets a higher
`class_version`, an upcast from the version before, and a file of its own; files of before are never changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from eventsourcing.persistence import StoredEvent

from application.transcoding import EventMapper, OrjsonTranscoder
from domain.aggregates import event_classes
from tests.support.every_event import every_event

pytestmark = pytest.mark.row("R13")
FOLDER = Path(__file__).parent / "golden"
CLASSES = {vars(event)["TOPIC"]: event for event in event_classes()}
MAPPER = EventMapper(transcoder=OrjsonTranscoder())


def version_of(topic: str) -> int:
    return int(getattr(CLASSES[topic], "class_version", 1))


def path_of(topic: str) -> Path:
    return FOLDER / f"{topic}.{version_of(topic)}.json"


def stored(path: Path) -> StoredEvent:
    fields = orjson.loads(path.read_bytes())
    state = orjson.dumps(fields["state"])
    return StoredEvent(UUID(fields["originator_id"]), fields["originator_version"], fields["topic"], state)


def written(event: Any) -> bytes:
    """A file's content."""
    made = MAPPER.to_stored_event(event)
    fields = {
        "topic": made.topic,
        "originator_id": str(made.originator_id),
        "originator_version": made.originator_version,
        "state": orjson.loads(made.state),
    }
    return orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def shape(value: Any) -> Any:
    """Names of fields and kinds of values, as far down as an event's own fields go."""
    return {name: type(part).__name__ for name, part in value.items()}


@pytest.mark.parametrize("topic", sorted(CLASSES))
def test_every_event_of_today_has_a_file_and_the_fields_that_stand_in_it(topic: str) -> None:
    path = path_of(topic)
    assert path.exists(), f"{path.name} is missing: run python -m tests.domain.test_golden_events"
    today = orjson.loads(written(every_event()[topic]))["state"]
    known = orjson.loads(path.read_bytes())["state"]
    assert shape(today) == shape(known), f"{topic} has changed: raise its class_version and give it an upcast"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.name)
def test_every_file_ever_written_is_read_as_an_event_of_today(path: Path) -> None:
    golden = stored(path)
    event = MAPPER.to_domain_event(golden)
    assert type(event) is CLASSES[golden.topic]
    again = MAPPER.to_stored_event(event)
    if path == path_of(golden.topic):
        assert orjson.loads(again.state) == orjson.loads(golden.state)
    assert shape(orjson.loads(again.state)) == shape(orjson.loads(path_of(golden.topic).read_bytes())["state"])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for topic, event in every_event().items():
        if not path_of(topic).exists():
            path_of(topic).write_bytes(written(event))
            print(path_of(topic).name)
