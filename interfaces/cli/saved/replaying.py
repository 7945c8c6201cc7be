"""`testmesh replay`: a saved run step by step, what was known at each moment, and its assertions checked again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import Paint, counted, one_line, patient, printable

if TYPE_CHECKING:
    from interfaces.cli.reports.model import Execution
    from interfaces.cli.saved.saved_run_reading import SavedRun

HELP = "n next, p previous, a number to go there, l list, e other execution, c check, q quit"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--execution", "wanted", metavar="WHICH", help="By number, beginning of the id, or text of its name.")
@click.option("--at", type=click.IntRange(1), metavar="N", help="Show what was known after event N.")
@click.option("--step", metavar="PATH", help="Show one step, by its path, and what was known when it ended.")
@click.option("--events", is_flag=True, help="List the events.")
@click.option("--check", is_flag=True, help="Evaluate every assertion again over the recorded results; 1 when one differs.")
@click.option("--no-color", is_flag=True, help="No colours.")
def replay(file: str, wanted: str | None, at: int | None, step: str | None, events: bool, check: bool, no_color: bool) -> int:
    """Step through a saved run (see run --save). On a terminal it asks where to go; else it lists executions and steps."""
    from pathlib import Path

    from interfaces.cli.reports.github import in_actions, without_commands
    from interfaces.cli.saved.saved_run_reading import read_run

    saved = read_run(Path(file))
    view = _View(saved, Paint(sys.stdout, False if no_color else None))
    with patient(sys.stdout), without_commands(in_actions()):
        if check:
            return view.check(wanted)
        chosen = _chosen(saved, wanted)
        if step is not None:
            view.step(chosen, step)
        elif at is not None:
            view.moment(chosen, at)
        elif events:
            view.events(chosen)
        elif sys.stdin.isatty() and sys.stdout.isatty():
            _ask(view, chosen)
        else:
            view.list(wanted)
    return ExitCode.PASSED


def _ask(view: _View, execution: Execution) -> None:
    """Until `q`, or the end of input."""
    from domain.errors import Refusal
    from interfaces.cli.errors import fail

    at = next((place for place, _ in _ends(execution)), 1)
    view.moment(execution, at)
    while True:
        try:
            words = input(f"[{at}/{len(execution.events)}] {HELP}: ").split()
        except EOFError:
            return
        word = words[0] if words else "n"
        if word == "q":
            return
        try:
            execution, at = _answer(view, execution, at, word, words[1:])
        except Refusal as refusal:
            fail(refusal)


def _answer(view: _View, execution: Execution, at: int, word: str, more: Sequence[str]) -> tuple[Execution, int]:
    """Do what was asked; where one stands then."""
    if word == "l":
        view.list(None)
    elif word == "c":
        view.check(execution.id)
    elif word == "e":
        execution, at = _chosen(view.saved, " ".join(more) or None), 1
        view.moment(execution, at)
    elif word in ("n", "p") or word.isdecimal():
        wanted = int(word) if word.isdecimal() else at + (1 if word == "n" else -1)
        at = min(max(1, wanted), len(execution.events))
        view.moment(execution, at)
    else:
        print(HELP)
    return execution, at


def _chosen(saved: SavedRun, wanted: str | None) -> Execution:
    """The execution that is meant; without a word the first that did not pass. Invalid when there is none."""
    from domain.errors import Invalid

    if wanted is None:
        found = next(saved.executions.bad(), None) or next(iter(saved.executions), None)
    else:
        numbered = list(enumerate(saved.executions.everything(), 1))
        tests = (lambda n, e: str(n) == wanted, lambda n, e: e.id.startswith(wanted), lambda n, e: wanted in e.title)
        found = next((e for test in tests for n, e in numbered if test(n, e)), None)
    if found is None:
        raise Invalid(
            f"there is no execution {wanted!r} in the saved run" if wanted else "the saved run has no execution",
            remedy="`testmesh replay FILE` lists them",
        )
    return found


def _ends(execution: Execution) -> list[tuple[int, str]]:
    """Number of the event at which each step of the last attempt ended, and its path."""
    return [
        (place, event["event"]["path"])
        for place, event in enumerate(execution.events, 1)
        if event["topic"] == "execution.step_finished" and event["event"]["attempt"] == execution.attempt
    ]


class _View:
    """Prints parts of a saved run."""

    def __init__(self, saved: SavedRun, paint: Paint) -> None:
        from interfaces.cli.saved.recorded_names import Definitions

        self.saved = saved
        self._paint = paint
        self._definitions = Definitions(saved.sources)

    def list(self, wanted: str | None) -> None:
        """Executions with their steps, and the number of the event at which each ended."""
        only = None if wanted is None else _chosen(self.saved, wanted).id
        for number, execution in enumerate(self.saved.executions.everything(), 1):
            if only not in (None, execution.id):
                continue
            again = self.saved.executions.repeated.get(execution.id)
            note = f", repeated by {again}" if again else ""
            verdict = self._paint.verdict(execution.verdict or "unfinished")
            said = f"{execution.title}  {execution.file}  ({execution.seconds:.2f} s, {len(execution.events)} events{note})"
            print(f"{number}  {verdict}  {one_line(said)}")
            ends = {path: place for place, path in _ends(execution)}
            for step in execution.last_steps:
                depth = "  " * step.path.count("/")
                said = f"{step.phase}: {step.name}  [{step.action}]  {step.duration_ms:.1f} ms  {step.path}"
                print(f"{ends.get(step.path, 0):>6}  {depth}{self._paint.verdict(step.verdict)}  {one_line(said)}")
        for name, why in self.saved.executions.skipped:
            print(printable(f"{self._paint.verdict('skipped')}  {one_line(name)}: {why}"))
        for text in self.saved.meta["left_out"]:
            print(printable(f"not in this file: {text}"))

    def events(self, execution: Execution) -> None:
        """One line an event."""
        for place in range(1, len(execution.events) + 1):
            print(self._event(execution, place))

    def moment(self, execution: Execution, at: int) -> None:
        """The execution after its event `at`: where it stood, and what could be named then."""
        from domain.errors import Invalid
        from interfaces.cli.reports.difference import shown
        from interfaces.cli.reports.model import Execution as Model
        from interfaces.cli.reports.model import Fold
        from interfaces.cli.saved.recorded_names import names_before, starting_names

        if at > len(execution.events):
            raise Invalid(f"{execution.title} has {len(execution.events)} events, and no event {at}")
        then = Model(execution.id, events=execution.events[:at])
        for event in then.events:
            Fold.take(then, event)
        print(self._event(execution, at))
        state = then.verdict or then.status
        steps = then.last_steps
        under_way = [step.where for step in steps if step.verdict == "running"]
        print(printable(f"  {one_line(execution.title)}: {state}, attempt {then.attempt}, {counted(len(steps), 'step')} begun"))
        if under_way:
            print(printable(f"  under way: {', '.join(map(one_line, under_way))}"))
        unrecorded = frozenset(self.saved.meta["secret_names"])
        start = starting_names(then, self._definitions.find(execution.file), unrecorded)
        names = names_before(then, then.events[-1]["version"] + 1, "", start)
        for name, value in names.items():
            if name not in ("flow", "execution", "attempt"):
                print(printable(f"    {one_line(str(name))} = {shown(value)}"))

    def step(self, execution: Execution, path: str) -> None:
        """All about one step of the last attempt."""
        from domain.errors import Invalid
        from interfaces.cli.reports.difference import shown
        from interfaces.cli.reports.failure import exchange_lines, failure_lines

        step = next((step for step in execution.last_steps if step.path == path), None)
        if step is None:
            from application.documents.source import did_you_mean

            hint = did_you_mean(path, [step.path for step in execution.last_steps])
            raise Invalid(f"{execution.title} has no step {path!r}", remedy=hint or "`testmesh replay FILE` lists the paths")
        if step.bad:
            for line in failure_lines(execution, step, self.saved.sources):
                print(printable(line.text))
        else:
            print(printable(f"{execution.title} > {step.phase} > {step.where}  [{step.action}, {step.verdict}]"))
            for line in exchange_lines(step.outcome.get("exchange")):
                print(printable(line.text))
        for made in (step.outcome.get("tries") or ())[-1:]:
            for check in made["assertions"]:
                print(printable(f"  {'holds' if check['passed'] else 'fails'}: {check['expression']}"))
        for name in ("outputs", "result"):
            if step.outcome.get(name):
                print(printable(f"  {name}: {shown(step.outcome[name], 2_000)}"))
        if step.shortened:
            print("  not in this file: the whole result, which was too big for an event")
        at = next((place for place, ended in _ends(execution) if ended == path), None)
        if at is not None:
            self.moment(execution, at)

    def check(self, wanted: str | None) -> int:
        """Assertions again, those told that are not equal; the exit code."""
        from interfaces.cli.saved.recheck import Recheck

        recheck = Recheck(self.saved)
        executions = self.saved.executions.everything() if wanted is None else [_chosen(self.saved, wanted)]
        counts = Counter[str]()
        for execution in executions:
            for answer in recheck.execution(execution):
                counts[answer.state] += 1
                if answer.state != "equal":
                    word = "differs" if answer.state == "differs" else "cannot be re-checked"
                    where = f"{execution.title} > {answer.step.where}: {answer.expression}"
                    print(printable(f"{word}: {one_line(where)}\n  {answer.why}"))
        total = sum(counts.values())
        told = f"{counts['equal']} equal, {counts['differs']} differ, {counts['unknown']} cannot be re-checked"
        print(f"{counted(total, 'assertion')} evaluated again over the record: {told}")
        return ExitCode.FAILED if counts["differs"] else ExitCode.PASSED

    def _event(self, execution: Execution, at: int) -> str:
        event = execution.events[at - 1]
        data: dict[str, Any] = event["event"]
        words = [data.get("phase"), data.get("path"), (data.get("outcome") or {}).get("verdict") or data.get("verdict")]
        told = " ".join(str(word) for word in words if word)
        return one_line(f"{at:>6}  {event['at']}  {event['topic'].partition('.')[2]}  {told}".rstrip())
