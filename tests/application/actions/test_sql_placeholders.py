"""Parameters in SQL text: found where they are, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.actions.sql_dialect import MYSQL, SQLITE, Dialect
from application.actions.sql_placeholders import bind, place_of
from application.engine.action import ActionError
from tests.support.cpu_time import at_most


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("SELECT * FROM t WHERE a = ? AND b = ?", "SELECT * FROM t WHERE a = $1 AND b = $2"),
        ("SELECT * FROM t WHERE a = %s AND b = %s", "SELECT * FROM t WHERE a = $1 AND b = $2"),
        ("SELECT * FROM t WHERE a = $2 AND b = $1", "SELECT * FROM t WHERE a = $2 AND b = $1"),
        ("SELECT ?::int, ?::text", "SELECT $1::int, $2::text"),
        ("SELECT '?', \"?\", ?, ?", "SELECT '?', \"?\", $1, $2"),
        ("SELECT 'it''s ?', E'it\\'s ?', ?, ?", "SELECT 'it''s ?', E'it\\'s ?', $1, $2"),
        ("SELECT 'a\\', ?, ?", "SELECT 'a\\', $1, $2"),
        ("SELECT $$ ? $$, $x$ ? $$ ? $x$, ?, ?", "SELECT $$ ? $$, $x$ ? $$ ? $x$, $1, $2"),
        ("SELECT ? -- why?\n, ?", "SELECT $1 -- why?\n, $2"),
        ("SELECT ? /* a? /* b? */ c? */, ?", "SELECT $1 /* a? /* b? */ c? */, $2"),
        ("SELECT a ?| ?, b ?& ?", "SELECT a ?| $1, b ?& $2"),
        ("SELECT a ?? ?, b ??| ?", "SELECT a ? $1, b ?| $2"),
        ("SELECT a @? ?, b <@? , 1", "SELECT a @? $1, b <@$2 , 1"),
        ("SELECT ?||?", "SELECT $1||$2"),
        ("SELECT a ? $1, b$1, 'x' LIKE $2", "SELECT a ? $1, b$1, 'x' LIKE $2"),
        ("SELECT a ? 'k', 7 % 2, %s, 5 %size, %s", "SELECT a ? 'k', 7 % 2, $1, 5 %size, $2"),
        ("SELECT ?, ?;  -- done", "SELECT $1, $2;  -- done"),
    ],
)
def test_positional_places_are_found_outside_of_literals_and_comments(written: str, sent: str) -> None:
    sql = bind(written, ["x", "y"])

    assert sql.text == sent
    assert sql.values == ("x", "y")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("SELECT :x, :x::int, ':x'", "SELECT $1, $1::int, ':x'"),
        ("SELECT f(a := :x)", "SELECT f(a := $1)"),
        ("SELECT arr[lo:hi], arr[f(1):hi], :x", "SELECT arr[lo:hi], arr[f(1):hi], $1"),
        ("SELECT '12:30:45'::time, :x", "SELECT '12:30:45'::time, $1"),
        ("SELECT a ? 'b', %s, $2, :x", "SELECT a ? 'b', %s, $2, $1"),
    ],
)
def test_named_places_are_found(written: str, sent: str) -> None:
    sql = bind(written, named={"x": 1})

    assert sql.text == sent
    assert sql.values == (1,)


def test_a_name_used_twice_is_sent_once() -> None:
    sql = bind("SELECT :b, :a, :b", named={"a": 1, "b": 2})

    assert sql.text == "SELECT $1, $2, $1"
    assert sql.values == (2, 1)


def test_without_values_the_query_is_sent_as_written() -> None:
    written = "SELECT a ? 'b', '%s', :x; SELECT 2 -- '"

    assert bind(written).text == written


@pytest.mark.parametrize(
    ("query", "params", "named", "message"),
    [
        ("SELECT ?", [1, 2], None, "1 places for parameters and params 2 values"),
        ("SELECT 1", [1], None, "0 places"),
        ("SELECT $1, $3", [1, 2], None, "does not use $2"),
        ("SELECT $1, $2, $3", [1, 2], None, "uses $3, which params does not have"),
        ("SELECT $0, $1", [1], None, "uses $0"),
        ("SELECT :usr", (), {"user": 1}, "uses :usr, named_params has :user"),
        ("SELECT :a", (), {"a": 1, "b": 2}, "does not use :b"),
        ("SELECT ?", [1], {"a": 1}, "cannot be given together"),
        ("SELECT ?; SELECT 2", [1], None, "one statement"),
        ("SELECT 'it, ?", [1], None, "begins at character 8 and does not end"),
        ('SELECT "it, ?', [1], None, "begins at character 8"),
        ("SELECT $a$ ?", [1], None, "does not end"),
        ("SELECT /* /* */ ?", [1], None, "a comment begins at character 8"),
        ("DELETE FROM t\0 WHERE id = 1", (), None, "NUL"),
        ("SELECT '\ud800'", (), None, "surrogate"),
    ],
)
def test_values_that_do_not_fit_their_places_are_refused(
    query: str, params: list[int], named: dict[str, int], message: str
) -> None:
    with pytest.raises(ActionError) as refused:
        bind(query, params, named)

    assert refused.value.kind == "config"
    assert message in refused.value.message


def test_offsets_lead_back_to_the_query_as_written() -> None:
    sql = bind("SELECT :first, :second, wrong", named={"first": 1, "second": 2})

    assert sql.written_at(sql.text.index("wrong")) == sql.text.index("wrong") + len(":first:second") - len("$1$2")
    assert sql.written_at(2) == 2


@given(st.text(alphabet="a1 ?'\"$%s:;-*/\\\n@|&eE[]", max_size=60))
def test_any_text_is_refused_or_bound_completely(query: str) -> None:
    try:
        sql = bind(query, ["v"])
    except ActionError:
        return
    assert len(sql.values) == 1
    assert "$1" in sql.text


@pytest.mark.parametrize("piece", ["'", '"', "$a", "/*", "E'\\", "?'", "--", "''", "$$", "((((", ":::"])
def test_a_hostile_query_is_read_in_linear_time(piece: str) -> None:
    with at_most(1.0), pytest.raises(ActionError):
        bind(piece * (60_000 // len(piece)) + "x", ["v"])


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("SELECT ?, %s", "SELECT ?, \0 1\0"),
        ("SELECT '\\' ?', \"\\\" ?\", `?`, ?", "SELECT '\\' ?', \"\\\" ?\", `?`, \0 1\0"),
        ("SELECT 1 # ?\n, ?", "SELECT 1 # ?\n, \0 1\0"),
        ("SELECT 1 -- ?\n, ?", "SELECT 1 -- ?\n, \0 1\0"),
        ("SELECT 5 --?", "SELECT 5 --\0 1\0"),
        ("SELECT /* /* ? */ ?", "SELECT /* /* ? */ \0 1\0"),
        ("SELECT @a := ?, a$1", "SELECT @a := \0 1\0, a$1"),
        ("SELECT $$, ?", "SELECT $$, \0 1\0"),
    ],
)
def test_mysql_has_its_own_literals_and_comments(written: str, sent: str) -> None:
    assert bind(written, ["x"], dialect=MYSQL).text == sent.replace("\0 ", "\0")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("SELECT ?", "SELECT ?1"),
        ("SELECT ?1, $1", "SELECT ?1, ?1"),
        ("SELECT '\\', ?", "SELECT '\\', ?1"),
        ("SELECT [?], `?`, \"?\", '?', ?", "SELECT [?], `?`, \"?\", '?', ?1"),
        ("SELECT 1 -- ?\n, ?", "SELECT 1 -- ?\n, ?1"),
        ("SELECT /* /* ? */ ?", "SELECT /* /* ? */ ?1"),
        ("SELECT a ->> '$.x', ?", "SELECT a ->> '$.x', ?1"),
    ],
)
def test_sqlite_has_its_own_literals_and_comments(written: str, sent: str) -> None:
    assert bind(written, ["x"], dialect=SQLITE).text == sent


@pytest.mark.parametrize("dialect", [MYSQL, SQLITE])
@given(query=st.text(alphabet="a1 ?'\"$%s:;-*/\\\n#`[]", max_size=60))
def test_any_text_is_refused_or_bound_completely_in_every_dialect(dialect: Dialect, query: str) -> None:
    try:
        sql = bind(query, ["v"], dialect=dialect)
    except ActionError:
        return
    assert dialect.place(1) in sql.text


@pytest.mark.parametrize("dialect", [MYSQL, SQLITE])
@pytest.mark.parametrize("piece", ["'", '"', "`", "/*", "'\\", "[", "--", "#", "''", "((((", ":::"])
def test_a_hostile_query_is_read_in_linear_time_in_every_dialect(dialect: Dialect, piece: str) -> None:
    with at_most(1.0), pytest.raises(ActionError):
        bind(piece * (60_000 // len(piece)) + "x", ["v"], dialect=dialect)


def test_the_place_of_a_piece_is_told_when_it_stands_there_once() -> None:
    sql = bind("SELECT :name,\n  wrong, wrongly FROM a", named={"name": 1})

    assert place_of(sql, "wrong", whole=True) == " at line 2, column 3 of the query"
    assert place_of(sql, "FROM a") == " at line 2, column 18 of the query"
    assert place_of(sql, "wrong") == place_of(sql, "missing") == place_of(sql, "") == ""
