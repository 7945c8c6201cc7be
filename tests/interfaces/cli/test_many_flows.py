"""Many flows in one run: what is selected, in which order, what waits for what, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest

from application.tag_expression import parse_tags
from domain.errors import Invalid
from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]


def write(folder: Path, name: str, *lines: str, steps: str = "- {action: log, config: {message: x}}") -> None:
    head = "\n  ".join([f"name: {name}", *lines])
    body = "\n    ".join(steps.strip().splitlines())
    (folder / f"{name}.yaml").write_text(f"flow:\n  {head}\n  steps:\n    {body}\n")


def ran_flows(ran: Ran) -> list[str]:
    return [execution["flow"] for execution in json.loads(ran.out)["executions"]]


def executions(ran: Ran) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran.out)["executions"]
    return found


class TestTags:
    @pytest.mark.parametrize(
        ("text", "yes", "no"),
        [
            ("smoke", [["smoke"], ["smoke", "slow"]], [[], ["slow"]]),
            ("smoke,web", [["web"], ["smoke"]], [["api"]]),
            ("smoke and not slow", [["smoke"]], [["smoke", "slow"], []]),
            ("not (a or b)", [[], ["c"]], [["a"], ["b", "c"]]),
            ("a or b and c", [["a"], ["b", "c"]], [["b"]]),
            ("team:pay and v1.2", [["team:pay", "v1.2"]], [["team:pay"]]),
        ],
    )
    def test_expressions(self, text: str, yes: list[list[str]], no: list[list[str]]) -> None:
        wanted = parse_tags(text)
        assert all(wanted(tags) for tags in yes)
        assert not any(wanted(tags) for tags in no)

    @pytest.mark.parametrize("text", ["", "and", "a and", "(a", "a b", "not", "a)", "a,,b"])
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(Invalid, match="--tags"):
            parse_tags(text)


class TestNeeds:
    def test_what_a_flow_needs_comes_first_with_its_outputs_and_is_added(self, folder: Path, testmesh: Testmesh) -> None:
        write(
            folder,
            "login",
            "outputs: {token: $.t}",
            steps="- {id: l, action: log, config: {message: abc-123}, output: {t: $.message}}",
        )
        write(
            folder,
            "use",
            "needs: login",
            steps="- {action: log, config: {message: '${needs.login.token}'}, assert: [\"message == 'abc-123'\"]}",
        )
        ran = testmesh("run", "use.yaml", "--format", "json")
        assert ran.code == 0
        assert ran_flows(ran) == ["login", "use"]

    def test_when_it_fails_the_others_are_skipped_and_it_is_said(self, folder: Path, testmesh: Testmesh) -> None:
        write(folder, "a", steps="- {action: assert, config: {assertions: ['1 == 2']}}")
        write(folder, "b", "needs: [a.yaml]")
        write(folder, "c", "needs: b")
        ran = testmesh("run", ".", "-j", "4")
        assert ran.code == 1
        assert "b: it needs a, which did not pass" in ran.out
        assert "c: it needs b, which did not pass" in ran.out
        assert "3 flows: 1 failed, 2 not begun" in ran.out

    def test_a_secret_output_stays_secret_in_the_flow_that_needs_it(self, folder: Path, testmesh: Testmesh) -> None:
        step = "- {id: l, action: log, config: {message: 'hunter2-${UUID}'}, output: {t: $.message}, secret_outputs: [t]}"
        write(folder, "login", "outputs: {token: $.t}", steps=step)
        write(folder, "use", "needs: login", steps="- {action: log, config: {message: 'with ${needs.login.token}'}}")
        ran = testmesh("run", ".", "--format", "jsonl", "--report", "json=o.json", "-v")
        assert ran.code == 0
        assert "hunter2" not in ran.out + ran.err + (folder / "o.json").read_text()

    @pytest.mark.parametrize(
        ("needs", "message"),
        [
            ("b", "in a circle: a.yaml > b.yaml > a.yaml"),
            ("logn", 'There is no flow "logn" to need'),
            ("a", "in a circle: a.yaml > a.yaml"),
        ],
    )
    def test_circles_and_unknown_flows_are_told(self, folder: Path, testmesh: Testmesh, needs: str, message: str) -> None:
        write(folder, "a", f"needs: {needs}")
        write(folder, "b", "needs: a")
        ran = testmesh("run", "a.yaml")
        assert ran.code == 2
        assert message in ran.err
        assert ".yaml:3:" in ran.err


class TestLocksAndOnce:
    def test_flows_with_the_same_lock_never_overlap(self, folder: Path, testmesh: Testmesh) -> None:
        for name in "abc":
            write(folder, name, "lock: db", steps="- {action: delay, config: {duration: 60ms}}")
        write(folder, "free", steps="- {action: delay, config: {duration: 60ms}}")
        spans = {
            e["flow"]: (e["started_at"], e["finished_at"])
            for e in executions(testmesh("run", ".", "-j", "8", "--format", "json"))
        }
        locked = sorted(spans[name] for name in "abc")
        assert all(one[1] <= other[0] for one, other in pairwise(locked))
        assert spans["free"][0] < locked[0][1]

    def test_a_group_of_two_places_has_two_flows_at_a_time(self, folder: Path, testmesh: Testmesh) -> None:
        for name in "abcd":
            config = "config: {concurrency: {group: db, max: 2}}"
            write(folder, name, config, steps="- {action: delay, config: {duration: 60ms}}")
        ran = executions(testmesh("run", ".", "-j", "8", "--format", "json"))
        moments = [(e["started_at"], 1) for e in ran] + [(e["finished_at"], -1) for e in ran]
        running = list(accumulate(change for _, change in sorted(moments)))
        assert max(running) == 2

    def test_shared_setup_runs_once_and_all_get_its_outputs(self, folder: Path, testmesh: Testmesh) -> None:
        setup = (
            "setup: [{id: login, once: login, action: log, config: {message: '${UUID}'}, output: {token: "
            "$.message}, secret_outputs: [token]}]"
        )
        for name in "abc":
            write(
                folder,
                name,
                setup,
                "outputs: {length: len(token)}",
                steps="- {action: assert, config: {assertions: ['len(token) == 36']}}",
            )
        ran = testmesh("run", ".", "-j", "3", "--format", "json")
        assert ran.code == 0
        steps = [next(step for step in e["steps"] if step["path"] == "login") for e in executions(ran)]
        assert len({step["outcome"]["outputs"]["token"] for step in steps}) == 1
        assert sum(bool(step["logs"]) for step in steps) == 1
        assert sum("once: it ran in" in str(step["outcome"]["reason"]) for step in steps) == 2

    def test_a_failure_of_shared_setup_fails_every_flow_of_it(self, folder: Path, testmesh: Testmesh) -> None:
        setup = "setup: [{id: up, once: up, action: assert, config: {assertions: ['1 == 2']}}]"
        for name in "ab":
            write(folder, name, setup)
        ran = testmesh("run", ".", "-j", "2", "--format", "json")
        assert ran.code == 1
        assert [e["verdict"] for e in executions(ran)] == ["failed", "failed"]


class TestRepeatingAndStopping:
    def test_repeated_runs_get_other_random_values_also_under_one_seed(self, folder: Path, testmesh: Testmesh) -> None:
        write(folder, "a", steps="- {action: log, config: {message: '${UUID}'}}")
        ran = testmesh("run", "a.yaml", "--repeat", "3", "--seed", "7", "--format", "json")
        assert len({e["steps"][0]["logs"][0]["message"] for e in executions(ran)}) == 3
        assert [e["case"] for e in executions(ran)] == ["", "#2", "#3"]

    def test_a_flow_that_passes_when_it_is_run_again_is_a_pass_on_retry(self, folder: Path, testmesh: Testmesh) -> None:
        write(folder, "a", steps="- {action: assert, config: {assertions: ['RANDOM_INT % 2 == 0']}}")
        ran = testmesh("run", "a.yaml", "--retries", "10", "--seed", "1", "--format", "json")
        verdicts = [e["verdict"] for e in executions(ran)]
        assert ran.code == 0
        assert verdicts in (["passed"], ["passed_on_retry"])
        seeds = iter(range(2, 40))
        while verdicts != ["passed_on_retry"]:
            ran = testmesh("run", "a.yaml", "--retries", "10", "--seed", str(next(seeds)), "--format", "json")
            verdicts = [e["verdict"] for e in executions(ran)]
        assert executions(ran)[0]["seed"].count("~") == 1
        assert (
            testmesh(
                "run", "a.yaml", "--retries", "10", "--fail-on-flaky", "--seed", executions(ran)[0]["seed"].split("~")[0]
            ).code
            == 1
        )

    def test_it_stops_after_so_many_failures(self, folder: Path, testmesh: Testmesh) -> None:
        for name in "abcd":
            write(folder, name, steps="- {action: assert, config: {assertions: ['1 == 2']}}")
        ran = testmesh("run", ".", "--max-failures", "2")
        assert ran.code == 1
        assert "4 flows: 2 failed, 2 not begun" in ran.out
        assert "1 failed, 3 not begun" in testmesh("run", ".", "--fail-fast").out

    def test_shards_are_disjoint_and_complete(self, folder: Path, testmesh: Testmesh) -> None:
        for name in "abcde":
            write(folder, name)
        parts = [ran_flows(testmesh("run", ".", "--shard", f"{part}/3", "--format", "json")) for part in (1, 2, 3)]
        assert sorted(name for part in parts for name in part) == list("abcde")
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    @pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0"])
    def test_a_wrong_shard_is_told(self, folder: Path, testmesh: Testmesh, text: str) -> None:
        write(folder, "a")
        ran = testmesh("run", "a.yaml", "--shard", text)
        assert ran.code == 2
        assert "--shard 2/5" in ran.err

    def test_a_shuffled_order_can_be_had_again(self, folder: Path, testmesh: Testmesh) -> None:
        for name in "abcdefgh":
            write(folder, name)
        first, again = (ran_flows(testmesh("run", ".", "--shuffle=5", "--format", "json")) for _ in range(2))
        assert first == again
        assert first != sorted(first)

    def test_only_what_failed_last_time(self, folder: Path, testmesh: Testmesh) -> None:
        write(folder, "good")
        write(folder, "bad", steps="- {action: assert, config: {assertions: ['x == 2']}}")
        assert testmesh("run", ".", "--var", "x=1").code == 1
        ran = testmesh("run", ".", "--last-failed", "--var", "x=1", "--format", "json")
        assert ran_flows(ran) == ["bad"]
        assert testmesh("run", "good.yaml").code == 0
        assert (
            ran_flows(testmesh("run", ".", "--last-failed", "--var-file", "v.yaml", "--format", "json")) == ["bad"]
            if ((folder / "v.yaml").write_text("x: 2\n"))
            else False
        )
        ran = testmesh("run", ".", "--last-failed", "--var", "x=2")
        assert ran.code == 4
        assert "nothing failed last time" in ran.err


class TestOneStep:
    TEXT = """flow:
  name: long
  setup:
    - {id: up, action: log, config: {message: up}}
  steps:
    - {id: one, action: log, config: {message: 1}, output: {first: $.message}}
    - {id: two, action: log, config: {message: 2}}
    - id: three
      action: log
      config: {message: "${first}"}
    - {id: four, action: log, config: {message: 4}}
  teardown:
    - {id: down, action: log, config: {message: down}}
"""

    @pytest.mark.parametrize(
        ("line", "steps"),
        [
            (6, ["up", "one", "down"]),
            (7, ["up", "two", "down"]),
            (10, ["up", "one", "three", "down"]),
            (2, ["up", "one", "two", "three", "four", "down"]),
        ],
    )
    def test_a_line_picks_a_step_with_what_it_reads(
        self, folder: Path, testmesh: Testmesh, line: int, steps: list[str]
    ) -> None:
        (folder / "f.yaml").write_text(self.TEXT)
        ran = testmesh("run", f"f.yaml:{line}", "--format", "json")
        assert [step["path"] for step in executions(ran)[0]["steps"]] == steps

    def test_a_line_that_is_not_there_is_told(self, folder: Path, testmesh: Testmesh) -> None:
        (folder / "f.yaml").write_text(self.TEXT)
        ran = testmesh("run", "f.yaml:99")
        assert ran.code == 2
        assert "f.yaml has no line 99" in ran.err
