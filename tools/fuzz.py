"""Damaged and hostile files, thousands of them, through every reader: each ends in a result or in one sentence.

Real small files are made here, then bytes are changed and structures are given values that do not belong there; a seed
gives the same cases. Each case runs in a child process with limits on memory and time: the time is that of the
processor, so that a busy machine makes no case slow; a wide limit by the clock ends what waits without computing.
Every finding can be kept with --keep and run again with --only. The status is 1 where there is any. (The generator is
our own and small: hypothesis, under the MPL, shrinks better but takes several times as long for a case.)
"""

import argparse
import csv
import math
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fuzzing.annotations import ANNOTATION_TARGETS
from fuzzing.checkpoints import CHECKPOINT_TARGETS
from fuzzing.children import Limits, Outcome, run_cases
from fuzzing.exports import EXPORT_TARGETS
from fuzzing.images import IMAGE_TARGETS
from fuzzing.jobs import JOB_TARGETS
from fuzzing.regions import REGION_TARGETS
from fuzzing.uploads import UPLOAD_TARGETS

ALL = (
    *(*IMAGE_TARGETS, *ANNOTATION_TARGETS, *REGION_TARGETS, *EXPORT_TARGETS),
    *(*CHECKPOINT_TARGETS, *JOB_TARGETS, *UPLOAD_TARGETS),
)
TARGETS = {target.name: target for target in ALL}
BAD = ("traceback", "crash", "slow", "memory", "differs", "wordy")


def build_parser() -> argparse.ArgumentParser:
    """Options of the tool."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="python tools/fuzz.py -n 500",
    )
    add = parser.add_argument
    add("-n", "--cases", type=int, default=20_000, help="in all, divided over the targets by their shares")
    add("--seed", type=int, default=0)
    add("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="NAME", help=", ".join(TARGETS))
    add("--only", type=int, metavar="INDEX", help="one case of each target, by its number")
    add("--seconds", type=float, default=10.0, help="limit of a case, of the child's processor time")
    add("--wall-seconds", type=float, default=120.0, help="the same by the clock, for what waits without computing")
    add("--gigabytes", type=float, default=2.0, help="limit of a case, above what the libraries take")
    add("--keep", type=Path, metavar="FOLDER", help="copy the files of every finding there")
    add("--log", type=Path, metavar="FILE.csv", help="a line for each case; those that are in it are not run again")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    args = build_parser().parse_args(argv)
    limits = Limits(args.seconds, int(args.gigabytes * 2**30), args.wall_seconds)
    per_share = args.cases / sum(TARGETS[name].share for name in args.targets)
    num_bad = 0
    totals: Counter[str] = Counter()
    print(
        f"{'target':24} {'cases':>6} {'read':>6} {'refused':>8} {' '.join(f'{kind:>9}' for kind in BAD)} {'slowest':>9}"
    )
    log = _Log(args.log, args.seed) if args.log is not None else None
    for name in args.targets:
        num = math.ceil(per_share * TARGETS[name].share)
        indices = [args.only] if args.only is not None else range(num)
        done = log.outcomes(name, indices) if log is not None else []
        left = sorted(set(indices) - {outcome.index for outcome in done})
        outcomes = done
        for outcome in run_cases(TARGETS[name], left, args.seed, limits, args.keep):
            outcomes.append(outcome)
            if log is not None:
                log.add(name, outcome)
        kinds = Counter(outcome.kind for outcome in outcomes)
        totals += kinds
        slowest = max(outcome.seconds for outcome in outcomes)
        columns = " ".join(f"{kinds[kind]:9}" for kind in BAD)
        print(
            f"{name:24} {len(outcomes):6} {kinds['read']:6} {kinds['refused']:8} {columns} {slowest:7.1f} s", flush=True
        )
        num_bad += _show([outcome for outcome in outcomes if outcome.kind in BAD])
    print(f"{totals.total()} cases: {totals['read']} read, {totals['refused']} refused, {num_bad} findings")
    return int(num_bad > 0)


class _Log:
    """Outcomes in a CSV, so that a long run may be stopped, and the targets whose code changed be done again alone."""

    COLUMNS = ("seed", "target", "index", "kind", "seconds", "detail")

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        if not path.exists():
            self._write(self.COLUMNS)

    def outcomes(self, target: str, indices: Iterable[int]) -> list[Outcome]:
        """Those of these cases that are there."""
        wanted = set(indices)
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if (row["seed"], row["target"]) == (str(self.seed), target)]
        outcomes = [Outcome(int(row["index"]), row["kind"], row["detail"], float(row["seconds"])) for row in rows]
        return [outcome for outcome in outcomes if outcome.index in wanted]

    def add(self, target: str, outcome: Outcome) -> None:
        """Write one more."""
        detail = outcome.detail.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
        self._write((self.seed, target, outcome.index, outcome.kind, f"{outcome.seconds:.2f}", detail))

    def _write(self, row: Iterable[object]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)


def _show(findings: list[Outcome]) -> int:
    """Print one of each sort; gives the number of all."""
    shown: Counter[tuple[str, str]] = Counter()
    for finding in findings:
        sort = finding.kind, finding.detail.splitlines()[-1][:80] if finding.detail else ""
        shown[sort] += 1
        if shown[sort] == 1:
            print(f"  {finding.kind} in case {finding.index}: {finding.detail[-600:]}")
    return len(findings)


if __name__ == "__main__":
    sys.exit(main())
