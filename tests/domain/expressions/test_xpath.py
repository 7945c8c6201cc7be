"""XPath 1.0 over XML and HTML. The answers of the first table are those of libxml2 2.14, by way of lxml 6.1."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.expressions import ExpressionError, Scope, evaluate
from domain.expressions import parse as parse_expression
from domain.expressions.markup import MOST_NODES, parse
from tests.support.cpu_time import at_most

XML = (
    '<r><a i="1" k="x">one<b>two</b> three</a><a i="2"><b>4</b><b>5</b><c><a i="3">deep</a></c></a><!--note-->'
    "<d> sp  ace </d><e/></r>"
)
SOAP = (
    '<?xml version="1.0" encoding="ISO-8859-1"?><s:Envelope xmlns:s="urn:s" xmlns="urn:d"><s:Body><order id="7">'
    '<item n="1">ä</item><item n="2">b</item></order></s:Body></s:Envelope>'
)
HTML = """<!DOCTYPE html><html><head><title>A &amp; B</title><script>if (a < b) { "<p>no</p>" }</script></head>
<body class=main><H1 id="t">Hello <b>World</b></h1><ul><li>one<li class="x y">two<li>three</ul><p>first<p>second<br>line</p>
<table><tr><td>1<td>2<tr><td>3</table><a href='/x?a=1&amp;b=2'>link</a><img src=a.png></i> 1 < 2 <</body></html>"""


def found(text: Any, query: Any) -> Any:
    return evaluate("xpath(document, query)", Scope({"document": text, "query": query}))


def kind_of_answer(text: str, query: str) -> str:
    """`answer`, or the kind of the error; any other exception passes."""
    try:
        found(text, query)
    except ExpressionError as error:
        return error.kind
    return "answer"


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("//a/@i", ["1", "2", "3"]),
        ("/r/a[2]/b", ["4", "5"]),
        ("//b[1]", ["two", "4"]),
        ("(//b)[1]", ["two"]),
        ("//a[b='5']/@i", ["2"]),
        ("//a[@i>1 and @k]", []),
        ("//a[not(@k)]/@i", ["2", "3"]),
        ("//b[last()]", ["two", "5"]),
        ("//c/ancestor::a/@i", ["2"]),
        ("//c/preceding-sibling::b[1]", ["5"]),
        ("//c/preceding::b", ["two", "4", "5"]),
        ("//a[1]/following::*[1]", ["45deep", " sp  ace "]),
        ("//d | //a[1]/b | //d", ["two", " sp  ace "]),
        ("//comment()", ["note"]),
        ("//a[1]/text()", ["one", " three", "deep"]),
        ("//a[.//a]/@i", ["2"]),
        ("count(//*)", 10),
        ("sum(//a/@i) div 4", 1.5),
        ("string(//b)", "two"),
        ("string(//none)", ""),
        ("normalize-space(//d)", "sp ace"),
        ("boolean(//e) and not(//f)", True),
        ("//a/@i = 3", True),
        ("//a/@i != 3", True),
        ("//a/@i > 3", False),
        ("'one' >= true()", False),
        ("-7 mod 3", -1),
        ("5 - -2 * 3", 11),
        ("substring('12345', 2, 3)", "234"),
        ("substring('12345', 1.5, 2.6)", "234"),
        ("substring('12345', 0 div 0, 3)", ""),
        ("substring-before('a=b', '=')", "a"),
        ("substring-after('a=b', '=')", "b"),
        ("translate('bar', 'abc', 'AB')", "BAr"),
        ("concat(name(/*), '-', local-name(//@k), '-', 1 div 0)", "r-k-Infinity"),
        ("round(2.5) + floor(-1.5) + ceiling(1.1)", 3),
        ("number('x')", None),
        ("string-length(//b) = 3 or false()", True),
        ("//*[starts-with(name(), 'd') or contains(., 'deep')][position() = last()]/@i", ["3"]),
    ],
)
def test_xml_is_asked_as_by_libxml2(query: str, value: Any) -> None:
    assert found(XML, query) == value


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("//item", ["ä", "b"]),
        ("string(//s:Body/order/@id)", "7"),
        ("count(//s:*)", 2),
        ("name(/*)", "s:Envelope"),
        ("local-name(/*)", "Envelope"),
        ("//x:item", []),
    ],
)
def test_names_without_a_prefix_are_found_in_every_namespace(query: str, value: Any) -> None:
    assert found(SOAP, query) == value


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("string(//h1)", "Hello World"),
        ("//title", ["A & B"]),
        ("//li", ["one", "two", "three"]),
        ("//li[contains(@class, 'y')]", ["two"]),
        ("count(//p)", 2),
        ("//p[2]/br/following-sibling::text()", ["line"]),
        ("//tr[1]/td", ["1", "2"]),
        ("//tr[2]/td", ["3"]),
        ("string(//a/@href)", "/x?a=1&b=2"),
        ("//img/@src", ["a.png"]),
        ("//body/@class", ["main"]),
        ("string(//script)", 'if (a < b) { "<p>no</p>" }'),
        ("boolean(//body/text()[contains(., '1 < 2 <')])", True),
    ],
)
def test_html_is_read_as_browsers_forgive_it(query: str, value: Any) -> None:
    assert found(HTML, query) == value


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "cannot be read at its end"),
        ("//", "cannot be read at its end"),
        ("//a[", "cannot be read at its end"),
        ("//a]", "cannot be read at ']'"),
        ("$x", "cannot be read at '$x'"),
        ("a::b", "has no axis 'a'"),
        ("strng(//a)", 'no function strng() (did you mean "string"?)'),
        ("count(1)", "count() of an XPath takes nodes"),
        ("contains('a')", "contains() of an XPath takes 2 arguments"),
        ("1 | 2", "| of an XPath takes nodes"),
        ("(" * 100 + "1" + ")" * 100, "nested at most 30 deep"),
        ("1 + " * 600 + "1", "at most 1000 characters"),
        (7, "the query is a number"),
    ],
)
def test_what_is_no_xpath_is_told(query: Any, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        found(XML, query)
    assert message in str(raised.value)


def test_a_body_that_is_no_text_is_told() -> None:
    with pytest.raises(ExpressionError, match="xpath takes texts, and the document is an object"):
        found({"a": 1}, "//a")


def test_a_document_defines_no_entities_and_fetches_nothing() -> None:
    bomb = '<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]><l>&b;&f;</l>'
    assert found(bomb, "string(//l)") == "&b;&f;"


@pytest.mark.parametrize(
    "text",
    [
        "<" * 300_000,
        "<a " * 100_000,
        '<a "' * 80_000,
        "<a b='" * 60_000,
        "<!--" * 80_000,
        "</x>" * 80_000,
        "<script>" * 40_000,
        "<p></" * 60_000,
        "<a " + "=" * 300_000,
        "<b>" * 100_000,
        "<x>" + "<b>" * 100_000,
        "&" * 300_000,
        "<br>" * (MOST_NODES + 1),
    ],
    ids=lambda text: text[:12],
)
def test_hostile_documents_take_no_time(text: str) -> None:
    with at_most(10):
        assert kind_of_answer(text, "count(//*)") in ("limit", "answer")


@pytest.mark.parametrize("query", ["count(//*[count(//*) > 1])", "//p/preceding::p", "//p[//p[//p]]", "//*[. = //*]"])
def test_a_query_that_looks_again_and_again_spends_its_budget(query: str) -> None:
    with at_most(20), pytest.raises(ExpressionError, match="takes more than"):
        found("<html>" + "<div><p>x</p></div>" * 10_000, query)


@given(st.text(alphabet="<>/=!-?&;'\" abpli\n\u00e4\U0001f680", max_size=200))
def test_any_text_is_some_document(text: str) -> None:
    root = parse(text)
    orders = [node.order for node in root.below()]
    assert orders == sorted(orders)


@given(st.text(alphabet="/.@*[]()|=!<>+-:,'\"ab1 ", max_size=40))
def test_any_query_has_an_answer_or_an_error(query: str) -> None:
    assert kind_of_answer(XML, query) in ("answer", "syntax", "type", "limit")


@pytest.mark.parametrize(("text", "offset"), [("xpath(text, '//a[')", 12), ('1 == 1 && xpath(text, "cont(//a)") > 1', 22)])
def test_a_query_that_is_written_out_is_wrong_before_anything_runs(text: str, offset: int) -> None:
    with pytest.raises(ExpressionError, match="XPath") as raised:
        parse_expression(text)
    assert raised.value.offset == offset
