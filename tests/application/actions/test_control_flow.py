"""Steps within steps: conditions, loops, branches and waiting, as flows use them and as events record them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from application.actions.registry import ACTIONS
from application.attempts import Attempt, Tools
from domain.errors import InvalidFlow
from domain.limits import LIMITS
from tests.support.local import Anywhere, Local, finished, flow, outcomes, small_actions


@pytest.fixture
def local() -> Local:
    made = Local()
    made.actions = {**ACTIONS, **small_actions(made.calls)}
    made.tools = Tools(made.log, made.payloads, made.actions, Anywhere(), b"k" * 32)
    return made


def verdicts(events: list[Any]) -> dict[str, str]:
    return {path: outcome["verdict"] for path, outcome in outcomes(events).items()}


class TestCondition:
    TEXT = """
- id: choose
  action: condition
  config:
    if: wanted > 2
    then: [{id: yes_, action: say, config: {message: more}, output: {said: $}}]
    else: [{id: no_, action: say, config: {message: less}, output: {said: $}}]
- {id: after, action: assert, config: {assertions: ["said == (wanted > 2 ? 'more' : 'less')", "choose.met == (wanted > 2)"]}}
"""

    @pytest.mark.parametrize(("wanted", "branch"), [(3, "yes_"), (1, "no_")])
    async def test_one_branch_runs_and_its_outputs_are_known_after_it(self, local: Local, wanted: int, branch: str) -> None:
        events = await local.run(flow(self.TEXT), variables={"wanted": wanted})
        assert verdicts(events) == {f"choose/{branch}": "passed", "choose": "passed", "after": "passed"}

    async def test_without_an_else_nothing_runs(self, local: Local) -> None:
        text = (
            "- {id: c, action: condition, config: {when: false, steps: [{id: s, action: say}]}, assert: [\"branch == 'none'\"]}"
        )
        assert verdicts(await local.run(flow(text))) == {"c": "passed"}

    async def test_what_is_neither_true_nor_false_is_an_error_and_runs_nothing(self, local: Local) -> None:
        text = "- {id: c, action: condition, config: {if: '${1 + 1}', then: [{id: s, action: say}]}}"
        events = await local.run(flow(text))
        assert verdicts(events) == {"c": "error"}
        assert "must be true or false, it is 2" in outcomes(events)["c"]["error"]["message"]

    async def test_a_failure_inside_fails_it_and_is_told_once(self, local: Local) -> None:
        text = "- {id: c, action: condition, config: {if: true, then: [{id: s, action: fail}, {id: never, action: say}]}}"
        events = await local.run(flow(text))
        assert verdicts(events) == {"c/s": "failed", "c": "failed"}
        assert outcomes(events)["c"]["error"]["kind"] == "nested"
        assert finished(events).message == "c: s: it does not hold"


class TestForEach:
    async def test_every_item_has_its_names_and_its_outputs_in_order(self, local: Local) -> None:
        text = """
- id: all
  action: for_each
  config:
    items: [ada, bob]
    item_name: who
    index_name: place
    steps:
      - {id: s, action: say, config: {message: "${place}:${who}:${loop.number}/${loop.count}:${loop.last}"}, output: {said: $}}
  assert:
    - map(results, .said) == ['0:ada:1/2:false', '1:bob:2/2:true']
    - count == 2 && passed == 2
    - said == results[1].said
"""
        assert verdicts(await local.run(flow(text))) == {"all[0]/s": "passed", "all[1]/s": "passed", "all": "passed"}

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("range: 1..3", [1, 2, 3]),
            ("range: 3..1", [3, 2, 1]),
            ("range: 3", [0, 1, 2]),
            ("range: [2, 4]", [2, 3, 4]),
            ("range: {start: 1, end: 9, step: 4}", [1, 5, 9]),
            ("range: '${size}'", [0, 1]),
            ("items: '${[1, 2] | map(# * 10)}'", [10, 20]),
            ("items: {a: 1}", [{"key": "a", "value": 1}]),
            ("items: []", []),
        ],
    )
    async def test_what_it_goes_through(self, local: Local, given: str, expected: list[Any]) -> None:
        steps = "[{id: s, action: say, config: {message: '${item}'}}]"
        text = f"- {{id: all, action: for_each, config: {{{given}, steps: {steps}}}}}"
        events = await local.run(flow(text), variables={"size": 2})
        assert finished(events).verdict == "passed"
        assert local.calls.seen == expected

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ("items: '${5}'", "items must be a list or an object"),
            ("range: 1-5", "not a range"),
            ("range: {start: 1, end: 2, step: 0}", "cannot be 0"),
            ("range: 0..99999", "more than 10000 numbers"),
            ("range: 2, items: [1]", "not items and range"),
            ("range: 2, item_name: 'a b'", "item_name must be a name"),
            ("glob: ../*.yaml", "below the project's folder"),
            ("glob: '*.yaml'", "a folder of files"),
        ],
    )
    async def test_what_it_cannot_go_through_is_told(self, local: Local, given: str, message: str) -> None:
        if "../" in given:
            local.tools = Tools(local.log, local.payloads, local.actions, Anywhere(), b"k" * 32, folder=Path("/tmp"))
        text = f"- {{id: all, action: for_each, config: {{{given}, steps: [{{action: say}}]}}}}"
        events = await local.run(flow(text))
        assert message in outcomes(events)["all"]["error"]["message"]

    async def test_files_of_a_glob_stay_below_the_folder(self, local: Local, tmp_path: Path) -> None:
        (tmp_path / "home" / "data").mkdir(parents=True)
        (tmp_path / "home" / "data" / "one.json").write_text("1")
        (tmp_path / "secret.json").write_text("2")
        (tmp_path / "home" / "data" / "link.json").symlink_to(tmp_path / "secret.json")
        local.tools = Tools(local.log, local.payloads, local.actions, Anywhere(), b"k" * 32, folder=tmp_path / "home")
        await local.run(
            flow(
                "- {id: a, action: for_each, config: {glob: 'data/*.json', steps: [{action: say, config: {message: "
                "'${item}'}}]}}"
            )
        )
        assert local.calls.seen == ["data/one.json"]

    async def test_files_may_be_asked_for_as_items_from_glob(self, local: Local, tmp_path: Path) -> None:
        (tmp_path / "one.json").write_text("1")
        local.tools = Tools(local.log, local.payloads, local.actions, Anywhere(), b"k" * 32, folder=tmp_path)
        steps = "steps: [{action: say, config: {message: '${file}'}}]"
        await local.run(flow(f"- {{id: a, action: for_each, config: {{items_from_glob: '*.json', item_name: file, {steps}}}}}"))
        assert local.calls.seen == ["one.json"]

    async def test_more_items_than_max_iterations_are_an_error_and_none_is_worked_on(self, local: Local) -> None:
        text = "- {id: a, action: for_each, config: {range: 4, max_iterations: 3, steps: [{id: s, action: say}]}}"
        events = await local.run(flow(text))
        assert verdicts(events) == {"a": "error"}
        assert "4 iterations; at most 3" in outcomes(events)["a"]["error"]["message"]

    async def test_with_continue_on_error_every_item_is_worked_on_and_the_failure_stands(self, local: Local) -> None:
        steps = "steps: [{id: s, action: assert, config: {assertions: item != 1}}]"
        events = await local.run(flow(f"- {{id: a, action: for_each, config: {{range: 3, continue_on_error: true, {steps}}}}}"))
        assert list(verdicts(events).values()) == ["passed", "failed", "passed", "failed"]

    @pytest.mark.parametrize("action", ["for_each, config: {range: 1, continue_on_error", "parallel, config: {wait_for_all"])
    async def test_it_cannot_go_on_and_fail_fast_too(self, local: Local, action: str) -> None:
        text = f"- {{id: a, action: {action}: true, fail_fast: true, steps: [{{id: s, action: say}}]}}}}"
        events = await local.run(flow(text))
        assert verdicts(events) == {"a": "error"}
        assert "say opposite things" in outcomes(events)["a"]["error"]["message"]

    async def test_iterations_know_what_those_before_left_behind(self, local: Local) -> None:
        text = """
- id: all
  action: for_each
  config:
    range: 3
    steps: [{id: s, action: say, config: {message: "${(total ?? 0) + item}"}, output: {total: $}}]
  assert: total == 3
"""
        assert finished(await local.run(flow(text))).verdict == "passed"

    async def test_the_first_failure_ends_it_unless_told_otherwise(self, local: Local) -> None:
        steps = "[{id: s, action: assert, config: {assertions: ['item != 1', 'item != 2']}}]"
        text = f"- {{id: all, action: for_each, config: {{range: 4, steps: {steps}}}}}"
        events = await local.run(flow(text))
        assert verdicts(events) == {"all[0]/s": "passed", "all[1]/s": "failed", "all": "failed"}
        local = Local(local.actions)
        events = await local.run(flow(text.replace("range: 4", "range: 4, fail_fast: false")))
        assert [v for path, v in verdicts(events).items() if path != "all"] == ["passed", "failed", "failed", "passed"]
        outcome = outcomes(events)["all"]
        assert "item 2 of 4: s:" in outcome["error"]["message"]
        assert outcome["result"]["failed"] == 2

    async def test_parallel_iterations_overlap_and_keep_their_order(self, local: Local) -> None:
        steps = (
            "[{id: n, action: nap, config: {seconds: '${(3 - item) / 4}'}}, {id: s, action: say, config: "
            "{message: '${item}'}, output: {o: $}}]"
        )
        text = (
            f"- {{id: all, action: for_each, config: {{range: 3, parallel: true, steps: {steps}}}, assert: "
            f"'map(results, .o) == [0, 1, 2]'}}"
        )
        assert finished(await local.run(flow(text))).verdict == "passed"
        assert [seen for seen in local.calls.seen if seen != "nap"] == [2, 1, 0]

    async def test_beyond_a_thousand_iterations_only_failures_are_recorded(self, local: Local) -> None:
        steps = "[{id: s, action: assert, config: {assertions: ['item != 1200']}}]"
        text = f"- {{id: all, action: for_each, config: {{range: 1300, fail_fast: false, steps: {steps}}}}}"
        events = await local.run(flow(text))
        recorded = [path for path in verdicts(events) if path != "all"]
        assert len(recorded) == LIMITS.recorded_iterations + 1
        assert verdicts(events)["all[1200]/s"] == "failed"
        assert outcomes(events)["all"]["result"]["passed"] == 1299

    async def test_a_loop_leaves_room_for_the_rest_of_the_flow(self, local: Local) -> None:
        steps = ", ".join(f"{{id: s{n}, action: say}}" for n in range(5))
        text = f"- {{id: all, action: for_each, config: {{range: 900, steps: [{steps}]}}}}\n- {{id: after, action: say}}"
        events = await local.run(flow(text))
        assert finished(events).verdict == "passed"
        assert len(events) < LIMITS.events_per_execution

    async def test_a_retried_loop_has_other_paths_and_passes_on_retry(self, local: Local) -> None:
        text = """
- id: all
  action: for_each
  retry: {max_attempts: 2, delay: 1ms}
  config: {range: 1, steps: [{id: s, action: flaky, config: {works_at: 2}}]}
"""
        events = await local.run(flow(text))
        assert verdicts(events) == {"all[0]/s": "error", "all~2[0]/s": "passed", "all": "passed_on_retry"}

    async def test_a_retry_inside_a_loop_makes_the_flow_pass_on_retry(self, local: Local) -> None:
        inner = "{id: s, action: flaky, config: {works_at: 2}, retry: {max_attempts: 2, delay: 1ms}}"
        events = await local.run(flow(f"- {{id: all, action: for_each, config: {{range: 1, steps: [{inner}]}}}}"))
        assert finished(events).verdict == "passed_on_retry"

    async def test_a_cancel_inside_a_loop_is_recorded_inside_and_outside(self, local: Local) -> None:
        steps = "[{id: s, action: nap, config: {seconds: 5}}]"
        text = flow(
            f"- {{id: all, action: for_each, config: {{range: 2, parallel: true, steps: {steps}}}}}",
            teardown="- {id: t, action: say}",
        )
        attempt = Attempt(local.tools, local.request(text), "me")
        task = asyncio.create_task(attempt.run())
        while local.calls.seen.count("nap") < 2:
            await asyncio.sleep(0.001)
        attempt.stop("cancelled")
        await task
        assert verdicts(local.events()) == {
            "all[0]/s": "cancelled",
            "all[1]/s": "cancelled",
            "all": "cancelled",
            "t": "passed",
        }

    async def test_loops_within_loops(self, local: Local) -> None:
        inner = (
            "{id: in_, action: for_each, config: {items: '${item.rows}', item_name: row, steps: [{id: s, action: "
            "say, config: {message: '${item.name}${row}'}}]}}"
        )
        text = f"- {{id: out, action: for_each, config: {{items: '${{tables}}', steps: [{inner}]}}}}"
        tables = [{"name": "a", "rows": [1, 2]}, {"name": "b", "rows": [3]}]
        events = await local.run(flow(text), variables={"tables": tables})
        assert local.calls.seen == ["a1", "a2", "b3"]
        assert "out[0]/in_[1]/s" in verdicts(events)

    async def test_random_values_differ_between_iterations_and_come_again_with_the_seed(self, local: Local) -> None:
        text = flow(
            "- {id: a, action: for_each, config: {range: 3, parallel: true, steps: [{action: say, config: "
            "{message: '${UUID}'}}]}}"
        )
        await local.run(text, seed="s")
        first = list(local.calls.seen)
        again = Local(local.actions)
        await again.run(text, seed="s")
        assert len(set(first)) == 3
        assert set(local.calls.seen[3:]) == set(first)


class TestParallel:
    async def test_branches_run_side_by_side_and_all_that_they_leave_is_known_after(self, local: Local) -> None:
        text = """
- id: both
  action: parallel
  config:
    branches:
      left:
        - {id: a, action: nap, config: {seconds: 0.05}}
        - {id: b, action: say, config: {message: "${branch}"}, output: {l: $}}
      right: [{id: c, action: say, config: {message: "${branch}"}, output: {r: $}}]
  assert: ["branches == {left: {l: 'left'}, right: {r: 'right'}}"]
- {id: after, action: assert, config: {assertions: ["l == 'left' && r == 'right'", "b.body == 'left'"]}}
"""
        events = await local.run(flow(text))
        assert finished(events).verdict == "passed"
        assert local.calls.seen == ["nap", "right", "left"]
        assert {"both/left/a", "both/left/b", "both/right/c"} < set(verdicts(events))

    async def test_steps_may_be_a_branch_each(self, local: Local) -> None:
        text = (
            "- {id: p, action: parallel, config: {steps: [{id: a, action: say, config: {message: 1}}, {id: b, "
            "action: say, config: {message: 2}}]}}"
        )
        assert verdicts(await local.run(flow(text))) == {"p/a": "passed", "p/b": "passed", "p": "passed"}

    async def test_what_steps_inside_left_behind_is_known_as_parts_of_it(self, local: Local) -> None:
        text = """
- id: both
  action: parallel
  config:
    wait_for_all: true
    max_concurrent: 2
    steps:
      - {id: one, action: say, config: {message: {n: 1}}}
      - {id: two, action: say, config: {message: {n: 2}}}
  output: {first: both.one.response.body, second: both.two.body.n}
  assert: [one.body.n == 1, two.response.body.n == 2]
- {id: after, action: say, config: {message: "${first.n} ${second} ${both.two.response.body.n}"}}
"""
        assert finished(await local.run(flow(text))).verdict == "passed"
        assert local.calls.seen[-1] == "1 2 2"

    async def test_with_wait_for_all_every_branch_ends(self, local: Local) -> None:
        text = (
            "- {id: p, action: parallel, config: {wait_for_all: true, fail_fast: false, branches: {a: [{id: x, action: fail}],"
            " b: [{id: n, action: nap, config: {seconds: 0.02}}, {id: y, action: say}]}}}"
        )
        events = await local.run(flow(text))
        assert (verdicts(events)["p/b/y"], verdicts(events)["p"]) == ("passed", "failed")

    async def test_a_failure_stops_the_others_and_says_so(self, local: Local) -> None:
        text = """
- id: p
  action: parallel
  config:
    branches:
      - {name: slow, steps: [{id: a, action: nap, config: {seconds: 5}}, {id: never, action: say}]}
      - {name: bad, steps: [{id: b, action: fail}]}
"""
        events = await local.run(flow(text))
        assert verdicts(events) == {"p/bad/b": "failed", "p/slow/a": "cancelled", "p": "failed"}
        assert outcomes(events)["p/slow/a"]["reason"] == "a step that ran beside it failed"
        assert outcomes(events)["p"]["error"]["message"] == "branch bad: b: it does not hold"

    async def test_without_fail_fast_every_branch_ends(self, local: Local) -> None:
        text = (
            "- {id: p, action: parallel, config: {fail_fast: false, branches: {a: [{id: x, action: fail}], b: "
            "[{id: n, action: nap, config: {seconds: 0.02}}, {id: y, action: say}]}}}"
        )
        assert verdicts(await local.run(flow(text)))["p/b/y"] == "passed"

    async def test_a_timeout_of_the_step_ends_every_branch(self, local: Local) -> None:
        text = (
            "- {id: p, action: parallel, timeout: 50ms, config: {branches: {a: [{id: x, action: nap, config: "
            "{seconds: 5}}], b: [{id: y, action: nap, config: {seconds: 5}}]}}}"
        )
        events = await local.run(flow(text))
        assert verdicts(events) == {"p/a/x": "timed_out", "p/b/y": "timed_out", "p": "error"}
        assert outcomes(events)["p"]["error"]["kind"] == "timeout"

    @pytest.mark.parametrize(
        ("branches", "message"),
        [
            ("{}", "has no branch"),
            ("{a: []}", "has no step"),
            ("[{name: a, steps: [{action: say}]}, {name: a, steps: [{action: say}]}]", 'Two branches are called "a"'),
            ("[{stps: [{action: say}]}]", 'did you mean "steps"'),
            ("{a: [{action: sya}]}", 'There is no action "sya"'),
            ("5", "must be branches"),
        ],
    )
    def test_wrong_branches_are_told_where_they_stand(self, local: Local, branches: str, message: str) -> None:
        with pytest.raises(InvalidFlow) as invalid:
            local.request(flow(f"- {{id: p, action: parallel, config: {{branches: {branches}}}}}"))
        assert message in str(invalid.value)


class TestWaitUntil:
    async def test_it_tries_again_until_the_condition_holds(self, local: Local) -> None:
        text = (
            "- {id: w, action: wait_until, config: {condition: 'f.attempts >= 3', interval: 1ms, steps: [{id: f, "
            "action: flaky, config: {works_at: 2}}]}, assert: 'attempts == 3'}"
        )
        events = await local.run(flow(text))
        assert verdicts(events) == {"w[0]/f": "tolerated", "w[1]/f": "passed", "w[2]/f": "passed", "w": "passed"}
        assert finished(events).verdict == "passed"

    async def test_when_time_runs_out_the_last_reason_is_told(self, local: Local) -> None:
        text = "- {id: w, action: wait_until, config: {condition: attempts > 99, timeout: 30ms, interval: 10ms}}"
        outcome = outcomes(await local.run(flow(text)))["w"]
        assert outcome["verdict"] == "failed"
        assert "attempts > 99 is False (attempts = " in outcome["error"]["message"]

    async def test_or_it_goes_on_without(self, local: Local) -> None:
        text = (
            "- {id: w, action: wait_until, config: {condition: 'false', max_attempts: 2, interval: 1ms, "
            "on_timeout: continue}, assert: [not met, attempts == 2]}"
        )
        assert finished(await local.run(flow(text))).verdict == "passed"


async def test_teardown_knows_what_a_step_inside_a_loop_made(local: Local) -> None:
    inner = "{id: make, action: say, config: {message: 'made ${item}'}, output: {made: $}}"
    text = flow(
        f"- {{id: all, action: for_each, config: {{range: 2, steps: [{inner}]}}}}\n- {{id: bad, action: fail}}",
        teardown="- {id: t, action: say, config: {message: 'drop ${made}'}}",
    )
    await local.run(text)
    assert local.calls.seen[-1] == "drop made 1"
