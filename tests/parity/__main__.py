"""The differential test in full: this scheduler's filters and preferences against kube-scheduler's own code.

    python -m tests.parity                                    every group, 2,000 scenarios each
    python -m tests.parity --group spread --scenarios 200     some
    python -m tests.parity --group spread --seed 17 --show    one: its objects and both answers
    python -m tests.parity --group spread --minimise          and the smallest cluster that shows each disagreement

Exit 0 when the answers agree and the clusters cover what they should, 1 when not, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence

from peaks_scheduler.scheduling.scoring.preferences import PREFERENCES

from .compare import Difference, Json, Kind, our_answers, our_answers_or_failure, printed_answers
from .generate import GROUP_NAMES, scenario
from .oracle import Oracle, OracleError
from .run import judged, minimised, run
from .statistics import LEAST_FEASIBLE, LEAST_TELLING, MOST_FEASIBLE, REASONS, Tally, unseen

ENOUGH = 200
"""Scenarios a group from which on its statistics must hold: fewer say little."""
ON_PREFERENCES = "preferences"
"""The group whose scores have a bound of their own."""


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    groups = args.group or list(GROUP_NAMES)
    try:
        if args.show:
            return _show(groups, args.seed, args.minimise)
        return _run_all(groups, args)
    except OracleError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--group", action="append", choices=GROUP_NAMES, help="only this one; may be repeated")
    parser.add_argument("--scenarios", type=int, default=2000, metavar="N", help="of each group [2000]")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first scenario [0]")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="processes [2]")
    parser.add_argument("--show", action="store_true", help="one scenario: its objects and both answers")
    parser.add_argument("--minimise", action="store_true", help="the smallest cluster that shows each disagreement")
    return parser


# --- one scenario ---------------------------------------------------------------------------------------------------


def _show(groups: Sequence[str], seed: int, smallest: bool) -> int:
    failed = False
    with Oracle(scores=True) as oracle:
        for group in groups:
            objects = scenario(group, seed)
            _, found = judged(objects, oracle)
            failed |= bool(found)
            if smallest and found:
                objects = minimised(objects, found[0], oracle)
            print(_shown(objects, oracle))
            print("\n".join(map(str, found)) or "no disagreement", file=sys.stderr)
    return int(failed)


def _shown(objects: Sequence[Json], oracle: Oracle) -> str:
    ours = our_answers_or_failure(objects)
    whole = {"objects": objects, "ours": str(ours) if isinstance(ours, Difference) else ours}
    return json.dumps({**whole, "theirs": oracle.judge(objects)}, indent=1)


# --- all of them ----------------------------------------------------------------------------------------------------


def _run_all(groups: Sequence[str], args: argparse.Namespace) -> int:
    began = time.monotonic()
    tallies = run(groups, args.seed, args.scenarios, args.jobs, _Progress())
    for group, tally in tallies.items():
        _print_examples(group, tally, args.minimise)
    print(_table(tallies))
    complaints = [*_disagreements(tallies), *_prints_the_same(groups, args.seed)]
    if args.scenarios >= ENOUGH:
        complaints += _coverage(tallies)
    print("\n".join(complaints) or f"all agree, {time.monotonic() - began:.0f} s")
    return int(bool(complaints))


class _Progress:
    """A line on stderr, every few seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            print(f"parity: {done} of {total} scenarios", file=sys.stderr)
            self._next = now + 10.0


def _print_examples(group: str, tally: Tally, smallest: bool) -> None:
    for seed, difference in tally.examples:
        print(f"{group} {seed}: {difference}")
        print(f"    python -m tests.parity --group {group} --seed {seed} --show")
        if smallest:
            with Oracle(scores=True) as oracle:
                for raw in minimised(scenario(group, seed), difference, oracle):
                    print(f"    {json.dumps(raw)}")


def _disagreements(tallies: Mapping[str, Tally]) -> list[str]:
    return [f"{group}: {sum(t.kinds.values())} disagreements" for group, t in tallies.items() if t.kinds]


def _prints_the_same(groups: Sequence[str], seed: int) -> list[str]:
    """The command itself, once a group: what is compared is what it prints."""
    differing = [
        group for group in groups if printed_answers(scenario(group, seed)) != our_answers(scenario(group, seed))
    ]
    return [f"{group} {seed}: the command prints another answer than was compared" for group in differing]


def _coverage(tallies: Mapping[str, Tally]) -> list[str]:
    bounds = f"{LEAST_FEASIBLE:.0%} to {MOST_FEASIBLE:.0%}"
    found = [
        f"{group}: {tally.share:.0%} of the verdicts are feasible, expected {bounds}"
        for group, tally in tallies.items()
        if not tally.balanced
    ]
    if ON_PREFERENCES in tallies:
        found += _indifferent(tallies[ON_PREFERENCES])
    if set(tallies) == set(GROUP_NAMES):
        found += [f"{plugin}: no scenario brought out {reason!r}" for plugin, reason in unseen(tallies.values())]
    return found


def _indifferent(tally: Tally) -> list[str]:
    return [
        f"{name}: tells the nodes apart for {tally.telling_share(name):.0%} of the pods of {ON_PREFERENCES}, expected "
        f"more than {LEAST_TELLING:.0%}"
        for name in tally.indifferent
    ]


# --- tables ---------------------------------------------------------------------------------------------------------

_KINDS = (Kind.FALSE_FEASIBLE, Kind.FALSE_INFEASIBLE, Kind.REASONS, Kind.MESSAGE, Kind.SCORE)


def _table(tallies: Mapping[str, Tally]) -> str:
    """A row a group, the reasons with how often each was given, and how often preferences had a say."""
    header = ("group", "scenarios", "verdicts", "feasible", "errors", *_KINDS, "other", "seconds")
    rows = [header, *(_row(group, tally) for group, tally in tallies.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*lines, "", *_reasons(tallies), *_tellings(tallies)])


def _row(group: str, tally: Tally) -> tuple[str, ...]:
    named = [str(tally.kinds[kind]) for kind in _KINDS]
    other = sum(count for kind, count in tally.kinds.items() if kind not in _KINDS)
    counts = (str(tally.scenarios), str(tally.verdicts), f"{tally.share:.1%}", str(tally.errors))
    return group, *counts, *named, str(other), f"{tally.seconds:.1f}"


def _reasons(tallies: Mapping[str, Tally]) -> list[str]:
    plugins = {reason: plugin for plugin, reasons in REASONS.items() for reason in reasons}
    lines = []
    for reason in (*plugins, *_unknown(tallies, plugins)):
        by_group = {group: tally.reasons[reason] for group, tally in tallies.items() if tally.reasons[reason]}
        if not by_group:
            continue
        most = ", ".join(f"{group} {count}" for group, count in sorted(by_group.items(), key=lambda item: -item[1])[:4])
        lines.append(f"{plugins.get(reason, 'not known')}: {reason}: {sum(by_group.values())} ({most})")
    return lines


def _tellings(tallies: Mapping[str, Tally]) -> list[str]:
    """Of the groups with the most scored pods for whom the preference tells nodes apart."""
    lines = []
    for name in (preference.name for preference in PREFERENCES):
        groups = sorted(tallies.items(), key=lambda item: -item[1].telling_share(name))[:4]
        most = ", ".join(f"{group} {tally.telling_share(name):.0%} of {tally.scored}" for group, tally in groups)
        lines.append(f"{name}: tells nodes apart: {most}")
    return lines


def _unknown(tallies: Mapping[str, Tally], plugins: Mapping[str, str]) -> list[str]:
    return sorted({reason for tally in tallies.values() for reason in tally.reasons if reason not in plugins})


if __name__ == "__main__":
    sys.exit(main())
