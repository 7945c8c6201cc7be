"""Curl commands as people and browsers write them become steps that send the same."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from application.importing.curl import read_curl
from application.importing.curl_words import commands
from application.importing.writing import write_flow
from domain.errors import Invalid, LimitExceeded


def flow_of(text: str, **options: Any) -> dict[str, Any]:
    """The flow that a text becomes."""
    found: dict[str, Any] = yaml.safe_load(write_flow(read_curl(text, **options).drafts[0]))["flow"]
    return found


def config_of(text: str, **options: Any) -> dict[str, Any]:
    """The config of its only step."""
    (step,) = flow_of(text, **options)["steps"]
    config: dict[str, Any] = step["config"]
    return config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("curl 'a b' \"c $HOME\" d\\ e", ["curl", "a b", "c $HOME", "d e"]),
        ("curl \\\n  -X POST \\\r\n  http://x", ["curl", "-X", "POST", "http://x"]),
        (r"curl $'it\'s \u00e9 \xc3\xa9 \n!'", ["curl", "it's é é \n!"]),
        ("curl 'a'\"b\"c", ["curl", "abc"]),
        ("curl '' x # a comment", ["curl", "", "x"]),
        ("$ sudo curl http://x | jq '.a'", ["curl", "http://x"]),
        ('curl ^"http://x/?a=1^&b=2^" ^\r\n  -H ^"q: ^\\^"z^\\^"^"', ["curl", "http://x/?a=1&b=2", "-H", 'q: "z"']),
    ],
)
def test_words_are_split_as_shells_do(text: str, words: list[str]) -> None:
    assert commands(text)[0] == words


@given(st.text(max_size=60))
def test_any_text_is_split_or_refused(text: str) -> None:
    with suppress(Invalid):
        commands(f"curl {text}")


@given(st.lists(st.text("ab'\"\\ $\n;&|^`é{}", max_size=8), min_size=1, max_size=5))
def test_quoted_words_come_back(words: list[str]) -> None:
    import shlex

    assert commands(shlex.join(["curl", *words])) == [["curl", *words]]


def test_a_request_of_a_browser() -> None:
    flow = flow_of(
        "curl 'https://api.example.com/users?page=2' -H 'authorization: Bearer abcdef123456' "
        "-H 'content-type: application/json' "
        '-b \'sid=s3cret99\' --data-raw $\'{"name":"O\\\'Brien","tags":[1,null],"note":"${x} {{y}}"}\' --compressed'
    )
    (step,) = flow["steps"]
    assert step["name"] == "POST /users"
    assert "assert" not in step
    assert step["config"] == {
        "method": "POST",
        "url": "https://api.example.com/users?page=2",
        "headers": {"Cookie": "${cookie}"},
        "auth": {"type": "bearer", "token": "${token}"},
        "json": {"name": "O'Brien", "tags": [1, None], "note": "$${x} {{ '{{' }}y}}"},
        "follow_redirects": False,
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-d a=1 -d b=2", {"method": "POST", "form": {"a": "1", "b": "2"}}),
        ("-d a=1 -d a=2", {"form": {"a": ["1", "2"]}}),
        ("--data-urlencode 'q=a b&c' -G", {"method": "GET", "url": "http://x/?q=a+b%26c"}),
        ("-d 'plain text' -H 'Content-Type: text/plain'", {"body": "plain text", "headers": {"Content-Type": "text/plain"}}),
        ("--json '{\"a\": 1}'", {"json": {"a": 1}, "headers": {"Accept": "application/json"}}),
        ("-H 'content-type: application/json' -d '{\"a\":1,\"a\":2}'", {"body": '{"a":1,"a":2}'}),
        (
            "-F a=1 -F 'b=2;type=text/csv'",
            {"multipart": [{"name": "a", "value": "1"}, {"name": "b", "value": "2", "content_type": "text/csv"}]},
        ),
        ("-I", {"method": "HEAD"}),
        ("-H 'Content-Type:' -d raw", {"body": "raw", "headers": None}),
        ("-kL --max-redirs 3 -m 2.5", {"verify_ssl": False, "max_redirects": 3, "timeout": 2.5}),
        ("-x proxy:3128 --http2", {"proxy": "http://proxy:3128", "http2": True}),
        ("-A agent -e http://y/", {"headers": {"User-Agent": "agent", "Referer": "http://y/"}}),
        ("-XPATCH -H'A:1' -H 'A: 2' -H 'Empty;'", {"method": "PATCH", "headers": {"A": ["1", "2"], "Empty": ""}}),
    ],
)
def test_options(options: str, expected: dict[str, Any]) -> None:
    config = config_of(f"curl http://x/ {options}")
    assert {key: config.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("options", "secret"),
    [
        ("-u ada:hunter2hunter2", "hunter2hunter2"),
        ("-H 'Authorization: Basic YWRhOmh1bnRlcjI='", "YWRhOmh1bnRlcjI="),
        ("-H 'Authorization: AWS4 abcdefgh'", "abcdefgh"),
        ("-b 'a=qwertyuiop'", "qwertyuiop"),
        ("-H 'X-Api-Key: qwertyuiop'", "qwertyuiop"),
        ("'http://ada:qwertyuiop@y/'", "qwertyuiop"),
        ("'http://y/?access_token=qwertyuiop'", "qwertyuiop"),
        ("-d 'user=ada&password=qwertyuiop'", "qwertyuiop"),
        ("-F 'password=qwertyuiop'", "qwertyuiop"),
        ('-H \'content-type: application/json\' -d \'{"a":{"clientSecret":"qwertyuiop"}}\'', "qwertyuiop"),
        ("-x http://ada:qwertyuiop@proxy:1", "qwertyuiop"),
    ],
)
def test_credentials_become_variables_unless_they_are_kept(options: str, secret: str) -> None:
    found = read_curl(f"curl http://x {options}")
    text = write_flow(found.drafts[0])
    assert secret not in text
    assert "TESTMESH_VAR_<NAME>" in text
    assert found.drafts[0].given
    assert secret in write_flow(read_curl(f"curl http://x {options}", keep_secrets=True).drafts[0])


def test_what_is_not_known_is_named_and_kept_as_a_comment() -> None:
    found = read_curl("curl --frobnicate -d @big.json http://x")
    assert found.left_out == {"curl option --frobnicate": 1}
    assert found.warnings == ["the file big.json is not read; put its content into the body by hand"]
    assert "# Left out: --frobnicate" in write_flow(found.drafts[0])


def test_several_commands_are_several_steps() -> None:
    steps = flow_of("curl http://x/a\ncurl http://x/b --next -X PUT http://x/c; curl http://x/a")["steps"]
    assert [(step["id"], step["config"]["method"]) for step in steps] == [
        ("get_a", "GET"),
        ("get_b", "GET"),
        ("put_c", "PUT"),
        ("get_a_2", "GET"),
    ]


@pytest.mark.parametrize("text", ["", "wget http://x", "curl -X POST", "curl 'http://x"])
def test_what_is_no_command_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_curl(text)


def test_too_much_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        read_curl("curl http://x\n" * 501)
    with pytest.raises(LimitExceeded):
        read_curl("curl " + "x" * 2_000_000)


def test_files_of_the_project_are_sent_and_written_by_the_flow() -> None:
    command = "curl -T data/a.bin -o out/b.bin http://h/x --next -F pic=@data/c.png http://h/y"
    command += " --next --data-binary @data/d.txt http://h/z --next --data-binary @../e http://h/z"
    found = read_curl(command)
    put, form, binary, outside = found.drafts[0].calls
    assert (put.method, put.body and put.body.kind, put.body and put.body.value) == ("PUT", "body_file", "data/a.bin")
    assert put.options["save_to"] == "out/b.bin"
    assert form.body is not None
    assert form.body.value == [{"name": "pic", "file": "data/c.png"}]
    assert binary.body is not None
    assert (binary.body.kind, binary.header("content-type")) == ("body_file", "application/x-www-form-urlencoded")
    assert outside.body is None or outside.body.kind != "body_file"
    assert found.warnings == ["the file ../e is not read; put its content into the body by hand"]
