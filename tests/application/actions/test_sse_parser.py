"""Server-sent events as the WHATWG standard reads them, whole and split anywhere."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from application.actions.sse_parser import EventParser, EventTooLarge, ServerEvent

LINES = some.one_of(
    some.sampled_from(
        ["", ":comment", "data: a", "data:b", "data", "data:  two", "event: x", "id: 7", "id", "id: \0", "retry: 5", "retry: x"]
    ),
    some.text(alphabet="ab :\ufeffé😀\x00dt", max_size=12),
)
STREAMS = some.lists(some.tuples(LINES, some.sampled_from(["\n", "\r", "\r\n"])), max_size=12).map(
    lambda lines: "".join(line + end for line, end in lines)
)


def parsed(pieces: Iterable[bytes]) -> tuple[list[ServerEvent], str, int | None]:
    """The events of these pieces, with the last id and retry time."""
    parser = EventParser(10_000)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events, parser.last_event_id, parser.retry


def events_of(text: str) -> list[tuple[str, str, str]]:
    """Type, data and id of each event of a stream that comes whole."""
    return [(event.type, event.data, event.id) for event in parsed([text.encode()])[0]]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        ("data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
        ("event: add\ndata: 1\n\ndata: 2\n\n", [("add", "1", ""), ("message", "2", "")]),
        ("event: lost\n\ndata: kept\n\n", [("message", "kept", "")]),
        ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("message", text, "") for text in "abc"]),
        ("\ufeffdata: a\n\n\ufeffdata: b\n\n", [("message", "a", "")]),
        ("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
        ("Data: a\nother: b\n\n", []),
        ("data: a\n", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: str, events: list[tuple[str, str, str]]) -> None:
    assert events_of(stream) == events


def test_an_id_counts_from_the_next_empty_line_on_even_without_data() -> None:
    assert parsed([b"id: 5\n"])[1] == ""
    assert parsed([b"id: 5\n\n"]) == ([], "5", None)


def test_a_retry_time_is_digits_only() -> None:
    assert parsed([b"retry: 250\nretry: 1s\nretry: -1\n"])[2] == 250


def test_an_event_is_there_with_the_carriage_return_that_ends_it() -> None:
    assert [event.data for event in parsed([b"data: a\r", b"\r"])[0]] == ["a"]
    assert [event.data for event in parsed([b"data: a\r", b"\n\r", b"\ndata: b\r\n\r\n"])[0]] == ["a", "b"]


@given(stream=STREAMS, data=some.data())
def test_any_split_of_the_bytes_gives_the_same_events(stream: str, data: some.DataObject) -> None:
    raw = stream.encode()
    cuts = sorted(data.draw(some.lists(some.integers(0, len(raw)), max_size=8)))
    pieces = [raw[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert parsed(pieces) == parsed([raw]) == parsed(raw[at : at + 1] for at in range(len(raw)))


@given(some.binary(max_size=200))
def test_no_bytes_break_it(raw: bytes) -> None:
    assert parsed([raw]) == parsed(raw[at : at + 1] for at in range(len(raw)))


@pytest.mark.parametrize("stream", [b"x" * 101, b"data: " + b"x" * 96 + b"\n", b"data: 0123456789\n" * 7])
def test_a_line_or_event_without_end_is_refused(stream: bytes) -> None:
    with pytest.raises(EventTooLarge):
        list(EventParser(100).feed(stream))


def test_many_comments_and_other_fields_are_not_too_large() -> None:
    assert list(EventParser(100).feed(b": still here\nid: 1\nevent: x\n" * 100)) == []
