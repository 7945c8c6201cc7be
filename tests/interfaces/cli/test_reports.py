"""Reports of hostile content: nothing that a system under test says may steer who reads them; and all tell one story."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from interfaces.cli.reports.github import command
from interfaces.cli.reports.markdown import code, fenced
from interfaces.cli.reports.model import Collector
from interfaces.cli.reports.writers import KINDS, writer
from tests.interfaces.cli.conftest import Ran
from tests.interfaces.cli.recorded import HOSTILE, SOURCE, hostile_run, recorded

Testmesh = Callable[..., Ran]


def made(kind: str, collector: Collector | None = None) -> str:
    collected = (collector or hostile_run()).finish()
    collected.skipped = [(f"skipped {HOSTILE}", f"because {HOSTILE}")]
    return b"".join(writer(kind)(collected, {"f.yaml": SOURCE})).decode()


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"junit", "json", "jsonl", "html"}))
def test_no_report_for_people_has_control_characters_that_steer_a_terminal(kind: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", made(kind))


@pytest.mark.parametrize("kind", ["junit", "json", "jsonl", "html"])
def test_no_report_for_programs_has_raw_controls(kind: str) -> None:
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f]", made(kind))


def test_html_holds_no_markup_from_outside() -> None:
    page = made("html")
    body = page[page.index("<body>") : page.rindex("<script>")]
    assert "<img" not in body
    assert "</script><" not in body.replace("</script>\n<", "")
    assert body.count("<script") == body.count("</script>")
    found = re.search(r'<script type="application/json" id="x-0">(.*?)</script>', body, re.DOTALL)
    assert found is not None
    step = json.loads(found[1])["steps"][0]
    assert HOSTILE in step["exchange"]["response"]["body"]
    assert "<h1>TestMesh: failed</h1>" in body
    assert "&lt;img" in body


def test_the_policy_of_html_allows_its_own_script_alone() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made("html"))
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http:" not in policy[1]


def test_html_bounds_what_it_holds_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interfaces.cli.reports.html.EXECUTIONS", 3)
    monkeypatch.setattr("interfaces.cli.reports.html.REPORT_BYTES", 20_000)
    page = made("html", recorded("passed", "failed", "passed", "passed", "failed"))
    found = re.search(r'id="index">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    index = json.loads(found[1])
    assert [entry["verdict"] for entry in index["executions"]] == ["failed", "failed", "passed"]
    assert index["left_out"] == 2
    assert "2 failed" in page
    assert "3 passed" in page


def test_markdown_keeps_everything_from_outside_in_code() -> None:
    text = made("markdown")
    assert len(text) < 65_536
    outside = re.sub(r"(?s)(`{3,})text\n.*?\n\1", "", text)
    outside = re.sub(r"(?s)(`+) .*? \1(?!`)", "", outside)
    for sign in ("<img", "@everyone", "::set-output", "[link]", "</script>"):
        assert sign not in outside
    assert "@everyone" in text


@pytest.mark.parametrize("text", ["`", "a ``` b", "```\n@x", "", "|"])
def test_nothing_ends_code_from_inside(text: str) -> None:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    assert code(text).startswith("`" * (longest + 1) + " ")
    assert fenced(text).split("text\n", 1)[0] not in text


def test_markdown_counts_what_it_leaves_out() -> None:
    text = made("markdown", recorded(*["failed"] * 30))
    assert "10 more that did not pass are left out here" in text


def test_tap_is_whole_and_its_names_give_no_directives() -> None:
    lines = made("tap").splitlines()
    assert lines[:2] == ["TAP version 14", "1..2"]
    points = [line for line in lines if re.match(r"\s*(not )?ok ", line)]
    assert next(line for line in points if not line.startswith(" ")).startswith("not ok 1 - ")
    assert not any(re.search(r"(?<!\\)# *(SKIP|TODO) injected", line) for line in points)
    assert not any(line.lstrip().startswith(("Bail out!", "::")) for line in lines)
    blocks = re.findall(r"(?m)^( *)---\n((?:\1[a-z_]+: .*\n)+)\1\.\.\.$", "\n".join(lines))
    assert len(blocks) == 2
    for _, block in blocks:
        for line in block.splitlines():
            json.loads(line.partition(": ")[2])


def test_github_commands_are_one_line_each_and_escaped() -> None:
    lines = made("github").splitlines()
    assert all(line.startswith(("::error ", "::warning ")) for line in lines)
    assert lines[0].startswith("::error file=f.yaml,line=2,col=3,title=")
    assert "%0A" in lines[0]
    assert command("error", "a%b\r\nc", {"file": "a:b,c"}) == b"::error file=a%3Ab%2Cc::a%25b\\r%0Ac\n"


def test_gitlab_entries_have_what_gitlab_wants_and_stable_fingerprints() -> None:
    entries = json.loads(made("gitlab"))
    assert {"description", "check_name", "fingerprint", "severity", "location"} == set(entries[0])
    assert entries[0]["location"] == {"path": "f.yaml", "lines": {"begin": 2}}
    assert entries == json.loads(made("gitlab", hostile_run("another-id")))


def test_junit_shows_what_was_repeated_or_never_begun_as_skipped() -> None:
    collector = recorded("failed", "passed")
    collector.retried("id-0", "id-1")
    root = Xml.fromstring(made("junit", collector))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "0", "2")
    messages = [one.get("message") for one in root.iter("skipped")]
    assert messages[0] == "failed, and repeated by id-1"
    assert str(messages[1]).startswith("because ")


def test_nested_steps_have_their_place_in_junit_and_tap() -> None:
    assert 'name="steps: loop[0] &gt; inner"' in made("junit", recorded("passed", path="loop[0]/inner"))
    assert "ok 1 - steps: loop[0] > inner" in made("tap", recorded("passed", path="loop[0]/inner"))


class TestInActions:
    @pytest.fixture(autouse=True)
    def actions(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
        (folder / "f.yaml").write_text(
            "flow:\n  name: x\n  steps:\n    - {id: one, action: log, config: {message: '::set-env name=A::b'},"
            " assert: ['1 == 2']}\n"
        )

    def test_failures_are_annotated_and_summed_up(self, testmesh: Testmesh, folder: Path) -> None:
        ran = testmesh("run", "f.yaml")
        assert ran.out.rstrip().splitlines()[-1].startswith("::error file=f.yaml,line=4,col=")
        assert (folder / "summary.md").read_text().startswith("## TestMesh: failed")

    def test_the_runner_is_told_to_obey_nothing_until_the_results_are_shown(self, testmesh: Testmesh) -> None:
        lines = testmesh("run", "f.yaml", "-v").out.splitlines()
        stop = re.fullmatch("::stop-commands::([0-9a-f]{32})", lines[0])
        assert stop is not None
        end = lines.index(f"::{stop[1]}::")
        assert any("::set-env" in line for line in lines[:end])
        assert all(line.startswith("::error ") for line in lines[end + 1 :])

    def test_saved_runs_and_reports_on_stdout_command_nothing_either(self, testmesh: Testmesh) -> None:
        said = [testmesh("run", "f.yaml", "--save", "r.tmrun", "--report", "junit=-").out]
        said += [
            testmesh(*words).out for words in (("report", "r.tmrun"), ("replay", "r.tmrun"), ("diff", "r.tmrun", "r.tmrun"))
        ]
        for out in said:
            assert out.startswith("::stop-commands::")
            token = out.splitlines()[0].removeprefix("::stop-commands::")
            after = out.partition(f"::{token}::\n")[2]
            assert "<testsuites" not in after
            assert all(line.startswith("::error ") for line in after.splitlines())

    def test_it_can_be_turned_off(self, testmesh: Testmesh, folder: Path) -> None:
        assert "::error" not in testmesh("run", "f.yaml", "--no-github").out
        assert not (folder / "summary.md").exists()

    def test_json_on_stdout_stays_json(self, testmesh: Testmesh) -> None:
        ran = testmesh("run", "f.yaml", "--format", "json")
        assert json.loads(ran.out)["version"] == 1
        assert "::error file=f.yaml" in ran.err


def test_a_report_on_standard_output_follows_the_results(testmesh: Testmesh, folder: Path) -> None:
    (folder / "f.yaml").write_text("flow:\n  name: x\n  steps:\n    - {action: log, config: {message: a}}\n")
    assert "TAP version 14\n1..1\n" in testmesh("run", "f.yaml", "--report", "tap=-").out
    ran = testmesh("run", "f.yaml", "--report", "tap=-", "--format", "json")
    assert (ran.code, "standard output for itself" in ran.err) == (2, True)


def test_credentials_that_stand_in_a_flow_are_not_in_reports(testmesh: Testmesh, folder: Path) -> None:
    (folder / "f.yaml").write_text(
        "flow:\n  name: x\n  steps:\n    - {action: log, config: {message: a}, assert: ['1 == 2']}\n"
        "    - {action: http_request, config: {method: GET, url: 'http://h/', headers: {Authorization: hunter2-secret}}}\n"
    )
    testmesh("run", "f.yaml", "--report", "o.html", "--report", "o.md", "--save", "o.tmrun")
    assert "hunter2-secret" not in (folder / "o.html").read_text() + (folder / "o.md").read_text()
    assert "[masked]" in (folder / "o.html").read_text()


@pytest.mark.parametrize("theme", [0, 1])
def test_text_of_the_page_has_the_contrast_of_wcag_aa(theme: int) -> None:
    style = made("html").partition("<style>")[2].partition("</style>")[0]
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[theme]))
    for text in ("text", "soft", "accent", "good", "bad", "warn"):
        for ground in ("ground", "panel", "chosen"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert _contrast(colours["text"], colours["mark"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two sRGB colours."""
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("junit", ['<testsuites name="testmesh" tests="3" failures="0" errors="3"', 'type="invalid_flow"', "bad.yaml:4:16"]),
        ("json", ['"cause":"invalid_flow"', '"line":4', '"broken.yaml"']),
        ("jsonl", ['"topic":"execution.finished","event":{"verdict":"error","cause":"invalid_flow"']),
        ("html", ["TestMesh: failed", "There is no action"]),
        ("markdown", ["TestMesh: failed", 'There is no action "logg"', "broken.yaml"]),
        ("tap", ["not ok 1 - bad.yaml", "not ok 2 - broken.yaml"]),
        ("github", ["::error file=bad.yaml,line=4,col=16", "::error file=broken.yaml"]),
        ("gitlab", ['"check_name":"testmesh.invalid_flow"', '"location":{"path":"bad.yaml","lines":{"begin":6}}']),
    ],
)
def test_an_invalid_flow_is_an_error_in_every_report(kind: str, wanted: list[str], testmesh: Testmesh, folder: Path) -> None:
    (folder / "good.yaml").write_text("flow:\n  name: Good\n  steps:\n    - {action: log, config: {message: hi}}\n")
    wrong = "flow:\n  name: Bad\n  steps:\n    - {action: logg, config: {message: hi}}\n    - action: log\n      confg: {}\n"
    (folder / "bad.yaml").write_text(wrong + "      config: {message: x}\n")
    (folder / "broken.yaml").write_text("password: hunter2-of-broken\nflow: [\n")

    ran = testmesh("run", ".", f"--report={kind}=report.out")

    report = (folder / "report.out").read_text()
    assert ran.code == 2
    assert [text for text in wanted if text not in report] == []
    assert "hunter2-of-broken" not in report
    assert 'bad.yaml:6:7: error: A step has no key "confg"' in ran.err
    assert ran.err.count("There is no action") == 1
    assert ran.out == ""


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_an_invalid_flow_is_on_stdout_where_programs_read_it(form: str, testmesh: Testmesh, folder: Path) -> None:
    (folder / "bad.yaml").write_text("flow:\n  name: Bad\n  steps: []\n")

    ran = testmesh("run", "bad.yaml", "--format", form)

    found = [json.loads(line) for line in ran.out.splitlines()] if form == "jsonl" else json.loads(ran.out)["executions"]
    assert ran.code == 2
    assert (found[-1].get("verdict") or found[-1]["event"]["verdict"]) == "error"


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("junit", 'tests="0"'),
        ("json", '"executions":['),
        ("jsonl", ""),
        ("html", "<h1>TestMesh: nothing was run</h1>"),
        ("markdown", "## TestMesh: nothing was run"),
        ("tap", "1..0"),
        ("github", ""),
        ("gitlab", "["),
    ],
)
def test_where_nothing_was_selected_every_report_says_so(kind: str, wanted: str, testmesh: Testmesh, folder: Path) -> None:
    (folder / "good.yaml").write_text("flow:\n  name: Good\n  steps:\n    - {action: log, config: {message: hi}}\n")

    ran = testmesh("run", ".", "--tags", "none", f"--report={kind}=report.out")

    assert (ran.code, ran.err.strip(), ran.out) == (4, "no flow was selected by --tags none", "")
    assert wanted in (folder / "report.out").read_text()
