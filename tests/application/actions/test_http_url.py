"""URLs: one reading, which is the one that is judged, sent and shown; where parsers are known to differ, it is the safe one."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.actions.http_one import yarl_url
from application.actions.http_url import Url, parse_url, port_of
from application.engine.action import ActionError

SAME = (
    "http://h",
    "http://h/",
    "HTTP://H:81/A?b#c",
    "https://h:443/a%20b/%zz/ü?q=ü#ü",
    "http://h:8080?a=1",
    "http://h?",
    "http://ann:p%40ss@h/",
    "http://a@b@h/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1?@example.com/",
    "http://h/a b\"<>`{}^|\\[]'",
    "http://h/?a b\"<>`{}^|\\[]'",
    "http://[::1]:9/",
    "http://[fe80::1%25eth0]/",
    "http://[::ffff:127.0.0.1]/",
    "http://127。0。0。1/",
    "http://bücher.example/",
    "http://xn--bcher-kva.example/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://localhost./",
    "http://h:/",
    "http://h/a/./b/../c",
    "http://h/..a/.b/c..",
)
REFUSED = (
    "",
    "h",
    "//h/",
    "http:",
    "http:/h",
    "http://",
    "http:///h",
    "http://:80/",
    "http://@/",
    "http://u@/",
    "ftp://h/",
    "file:///etc/passwd",
    "unix:/run/x",
    "data:,x",
    "http://[::1",
    "http://::1/",
    "http://[::1]]/",
    "http://[[::1]/",
    "http://[::1]x:80/",
    "http://[127.0.0.1]/",
    "http://[v1.x]/",
    "http://[]/",
    "http://h:80:90/",
    "http://h:x/",
    "http://h:-1/",
    "http://h:+80/",
    "http://h: 80/",
    "http://h:80 /",
    "http://h:0/",
    "http://h:65536/",
    "http://h:８０/",
    "http://h\\.example/",
    "http://h%2eexample/",
    "http://127.0.0.1%23.example/",
    "http://１２７.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ex\u00adample.com/",
    "http://example.com\u2044x/",
    "http://0177.0.0.1/",
    "http://256.0.0.1/",
    "http://a b/",
    "http://a\tb/",
    "http://h/\r\nX: y",
    "http://h/\x00",
    "http://h/\x7f",
    "http://h/\ud800",
    "http://-h/",
    "http://h*/",
    "http://a,b/",
)


@pytest.mark.parametrize("text", SAME)
def test_a_url_means_what_httpx_takes_it_for(text: str) -> None:
    ours, theirs = parse_url(text), httpx.URL(text)
    assert (str(ours), ours.netloc.encode(), ours.target.encode()) == (str(theirs), theirs.netloc, theirs.raw_path)
    assert (ours.host.encode(), ours.port, ours.userinfo.encode()) == (theirs.raw_host, theirs.port, theirs.userinfo)


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ActionError) as raised:
        parse_url(text)
    assert raised.value.kind == "config"


def test_a_url_is_shown_in_one_form() -> None:
    assert [str(parse_url(text)) for text in ("HTTP://H:80/", "https://[::FFFF:1]:443/a/..")] == [
        "http://h/",
        "https://[::ffff:1]/",
    ]


_HOSTILE = st.text(st.sampled_from("ahtp:/?#[]@\\.%0127x-_ \t\n。１ü\u00ad&=;|^~\"'<>{}"), max_size=30)


@given(_HOSTILE.map("http://".__add__) | _HOSTILE)
def test_the_host_that_is_judged_is_the_host_that_is_connected(text: str) -> None:
    with suppress(ActionError):
        url = parse_url(text)
        sent = yarl_url(url)
        assert (sent.scheme, sent.raw_host, sent.port, sent.raw_user) == (url.scheme, url.host, port_of(url), None)
        assert sent.raw_path_qs in (url.target, url.target.removesuffix("?"))
        assert (sent.host_port_subcomponent or "").removesuffix(".") == url.netloc.removesuffix(".") or url.host.endswith(".")
        assert parse_url(str(url)) == url
        assert str(url).isascii()
        assert str(url).isprintable()
        assert " " not in str(url)


@given(_HOSTILE.map("http://".__add__))
def test_a_url_that_is_taken_has_the_host_that_httpx_finds(text: str) -> None:
    with suppress(ActionError):
        url = parse_url(text)
        theirs = httpx.URL(text)
        assert (url.host.encode(), url.port, url.userinfo.encode()) == (theirs.raw_host, theirs.port, theirs.userinfo)


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("c", "http://h:1/a/c"),
        ("/c?d#e", "http://h:1/c?d#e"),
        ("?x", "http://h:1/a/b?x"),
        ("", "http://h:1/a/b?q"),
        ("#f", "http://h:1/a/b?q#f"),
        ("./c/../d/", "http://h:1/a/d/"),
        ("../../../c", "http://h:1/c"),
        ("..", "http://h:1/"),
        (".", "http://h:1/a/"),
        ("//other/c", "http://other/c"),
        ("https://other:443", "https://other"),
        ("http:c", "http://h:1/a/c"),
        ("c:d", None),
        ("//", None),
        ("https:c", None),
        ("\\\\other\\c", "http://h:1/a/\\\\other\\c"),
        ("/\\other/c", "http://h:1/\\other/c"),
        ("///other/c", None),
        ("c\nd", None),
    ],
)
def test_a_reference_is_read_where_it_stands(reference: str, meant: str | None) -> None:
    base = Url("http", "", "h", 1, "/a/b", "q")
    if meant is None:
        with pytest.raises(ActionError):
            parse_url(reference, base)
    else:
        assert str(parse_url(reference, base)) == meant


def test_a_password_is_shown_neither_in_errors_nor_by_accident() -> None:
    with pytest.raises(ActionError) as raised:
        parse_url("http://ann:pa/ss@h/")
    assert "pa" not in raised.value.message.removeprefix("not a URL: what follows its host is not a port")
    assert "%2F" in (raised.value.hint or "")
    assert repr(parse_url("http://ann:pass-1@h/x")) == "http://h/x"
