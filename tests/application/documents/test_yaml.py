"""YAML is read by the core schema of version 1.2, with the place of every value, and nothing surprising."""

import pytest

from application.documents.reader import read
from domain.definition import Position
from domain.errors import InvalidFlow
from tests.support.cpu_time import at_most

SCALARS = [
    ("on", "on"),
    ("yes", "yes"),
    ("No", "No"),
    ("true", True),
    ("FALSE", False),
    ("~", None),
    ("", None),
    ("12:30:45", "12:30:45"),
    ("2024-05-06", "2024-05-06"),
    ("0o17", 15),
    ("017", 17),
    ("0x1F", 31),
    ("1_000", "1_000"),
    ("0b11", "0b11"),
    ("1e3", 1000.0),
    (".5", 0.5),
    ("-7", -7),
    ("+1.", 1.0),
    ("1.2.3", "1.2.3"),
    ("!!str 5", "5"),
    ('!!int "5"', 5),
    ("!!float 5", 5.0),
    ("'5'", "5"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_has_the_type_that_the_core_schema_gives_it(text: str, value: object) -> None:
    found = read(f"a: {text}").value["a"]
    assert (type(found), found) == (type(value), value)


def test_keys_are_texts_as_they_are_written() -> None:
    assert read("200: a\non: b\nnull: c\n1.50: d").value == {"200": "a", "on": "b", "null": "c", "1.50": "d"}


def test_every_value_and_key_has_its_place() -> None:
    document = read('a:\n  - "x y"\n  - b: |\n      text\n')
    assert document.positions[("a",)] == Position(2, 3)
    assert document.positions[("a", 0)] == Position(2, 6), "where the content of a quoted text begins"
    assert document.positions[("a", 1, "b")] == Position(3, 8)
    assert document.keys[("a", 1, "b")] == Position(3, 5)


def test_an_alias_repeats_a_value_and_points_inside_to_where_it_was_written() -> None:
    document = read("a: &x\n  b: 1\nc: *x\n")
    assert document.value == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.positions[("c",)] == Position(3, 4)
    assert document.positions[("c", "b")] == Position(2, 6)


def test_an_anchor_that_is_used_again_means_the_latest_value_before_the_alias() -> None:
    assert read("a: &x 1\nb: *x\nc: &x 2\nd: *x").value == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_merged_keys_give_way_to_own_keys_and_earlier_ones_to_none() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  x: 3\n  <<: [*a, *b]\n"
    document = read(text)
    assert document.value["c"] == {"x": 3, "y": 1, "z": 2}
    assert document.positions[("c", "z")] == Position(2, 17)


def test_a_byte_order_mark_does_not_count() -> None:
    assert read("\ufeffa: 1".encode()).value == {"a": 1}


BROKEN = [
    ("a: {{x}}", 1, 4, "YAML reads {{", 'put this value in quotes: a: "{{x}}"'),
    ("a: 1\nb: {{ x.y }}/z", 2, 4, "YAML cannot read this template", 'put this value in quotes: b: "{{ x.y }}/z"'),
    ("a:\n  b: ${x ? y : z}", 2, 6, "YAML cannot read this template", 'put this value in quotes: b: "${x ? y : z}"'),
    ("- ${x ? y : z}", 1, 3, "YAML splits this template at its colon", 'put this value in quotes: - "${x ? y : z}"'),
    ("a: [${l[0]}]", 1, 5, "YAML cannot read this template", 'put this value in quotes: a: ["${l[0]}"]'),
    ("a: {b: ${x}}", 1, 8, "YAML cannot read this template", 'put this value in quotes: a: {b: "${x}"}'),
    ('a: {{x["k"]}}/y', 1, 4, "YAML cannot read this template", """put this value in quotes: a: '{{x["k"]}}/y'"""),
    ('- "a" == b', 1, 7, "YAML cannot read this", """put this value in quotes: - '"a" == b'"""),
    ("- !(status >= 400)", 1, 13, "YAML cannot read this", 'put this value in quotes: - "!(status >= 400)"'),
    ("- !ready", 1, 3, "The tag !ready is not allowed", 'put this value in quotes: - "!ready"'),
    ("- *x == 1", 1, 3, "YAML cannot read|Nothing before this is named", "put this value in quotes"),
    ("a: @x", 1, 4, "YAML cannot read this", 'put this value in quotes: a: "@x"'),
    ("a:\n\tb: 1", 2, 1, "YAML cannot read this", "indent with spaces"),
    ("a: 1\nb: 2\na: 3", 3, 1, 'The key "a" stands here twice', "given first in line 1"),
    ("a: &x 1\nb:\n  <<: *x", 3, 7, "Only mappings can be merged", "anchor of a mapping"),
    ("a: .inf", 1, 4, ".inf is not a finite number", "put it in quotes"),
    ("a: 1e999", 1, 4, "1e999 is not a finite number", "put it in quotes"),
    ("a: " + "9" * 5000, 1, 4, "This number is too long", "put it in quotes"),
    ("a: !!int x", 1, 4, "This is not an integer", "put it in quotes"),
    ("? [a]\n: 1", 1, 3, "A key must be a text", "quotes"),
    ("a: 1\n---\nb: 2", 2, 1, "A second document begins here", "one document in each file"),
    ("a: *b", 1, 4, "Nothing before this is named &b", "quotes"),
    ("a: &a [*a]", 1, 8, "*a would repeat itself", "complete above"),
    ('a: "\\0"', 1, 4, "A text may not hold the character U+0000", ""),
    ("a: x\x07", 1, 5, "The character U+0007 may not stand", "remove it"),
    ('a: "\ud800"', 1, 5, "The character U+D800 may not stand", "remove it"),
    (b"a: 1\nb: \xff", 2, 4, "The byte 0xFF is not UTF-8", "UTF-8"),
]


IN_ONE_LINE = [
    ("output: {b: $.items[0].zz}", 'output: {b: "$.items[0].zz"}'),
    ("assert: [rows[1].b is null, x]", 'assert: ["rows[1].b is null", x]'),
    ('until: {condition: body[0].name == "x"}', """until: {condition: 'body[0].name == "x"'}"""),
    ("a: {c: x ? y : z, d: e}", 'a: {c: "x ? y : z", d: e}'),
    ('a: {x: "5" == y}', """a: {x: '"5" == y'}"""),
    ('a: [t == " #1", x]', """a: ['t == " #1"', x]"""),
    ("a: [len(filter(x, # > 1)) == 2]", 'a: ["len(filter(x, # > 1)) == 2"]'),
    ("a: {b: [1, 2] == body} # why", 'a: {b: "[1, 2] == body"} # why'),
    ("a: {b: don't [x], c: it's}", """a: {b: "don't [x]", c: it's}"""),
    ('a: [body matches "^[a-z]{2}, #$"]', """a: ['body matches "^[a-z]{2}, #$"']"""),
    ("- {u: http://a/${id}, q: [1, 2], a: [f(b, c)[0]]}", '- {u: "http://a/${id}", q: [1, 2], a: ["f(b, c)[0]"]}'),
]


@pytest.mark.parametrize(("line", "fixed"), IN_ONE_LINE)
def test_a_value_in_inline_style_gets_quotes_that_make_the_line_readable(line: str, fixed: str) -> None:
    with pytest.raises(InvalidFlow) as caught:
        read(f"{line}\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.remedy) == (1, f"put this value in quotes: {fixed}")
    assert not read(fixed).problems


def test_a_line_of_a_collection_over_several_lines_gets_quotes_as_well() -> None:
    with pytest.raises(InvalidFlow) as caught:
        read("assert: [\n  rows[1].b is null, # why\n  x]")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 7)
    assert problem.remedy == 'put this value in quotes: "rows[1].b is null", # why'


@pytest.mark.parametrize(
    "line", ["[" * 1900, "[{a: " * 300, "[[x]y, " * 250, "{a: b[0], " * 30_000, '["' * 900, "[a, " * 60_000]
)
def test_a_hostile_line_takes_no_time(line: str) -> None:
    with at_most(2), pytest.raises(InvalidFlow):
        read(f"a: {line}")


def test_no_line_is_proposed_that_yaml_could_not_read_either() -> None:
    with pytest.raises(InvalidFlow) as caught:
        read("a: {b: c\n d: e}")
    assert caught.value.problems[0].remedy is None


@pytest.mark.parametrize(("text", "line", "column", "title", "remedy"), BROKEN)
def test_what_yaml_cannot_read_is_placed_and_remedied(
    text: str | bytes, line: int, column: int, title: str, remedy: str
) -> None:
    try:
        problems = read(text, "f.yaml").problems
    except InvalidFlow as invalid:
        problems = list(invalid.problems)
    (problem,) = problems
    assert (problem.file, problem.line, problem.column) == ("f.yaml", line, column)
    assert problem.title.startswith(tuple(title.split("|"))), problem.title
    assert remedy in (problem.remedy or "")


def test_the_excerpt_shows_the_line_with_a_caret_beneath() -> None:
    with pytest.raises(InvalidFlow) as caught:
        read("a: 1\nb: @x")
    assert caught.value.problems[0].excerpt == "   2 | b: @x\n     |    ^"


def test_a_long_line_is_cropped_around_the_caret() -> None:
    with pytest.raises(InvalidFlow) as caught:
        read("a: [" + "x, " * 500 + "!t y]")
    line, caret = (caught.value.problems[0].excerpt or "").split("\n")
    assert len(line) < 140
    assert line[caret.index("^")] == "!"
