"""Are the tests able to fail? Small deliberate errors, one at a time, each met by the tests of the file it is in.

A mutant is never written to disk: a child process imports the changed source in place of the file. What is mutated is
what decides (comparisons, arithmetic, numbers, conditions, booleans, whole statements), not what is said (messages,
docstrings, annotations). Each verdict is written to the table as it falls; the same command again goes on from there.

usage: python tools/mutation.py --mutants 300 --seed 0 --out mutants.csv
"""

import argparse
import ast
import csv
import gc
import importlib.abc
import importlib.machinery
import io
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PLACES = (
    "maskrcnn/training",
    "maskrcnn/evaluation",
    "maskrcnn/prediction",
    "maskrcnn/structures",
    "maskrcnn/ops",
    "maskrcnn/model",
    "maskrcnn/data/transforms.py",
    "maskrcnn/data/copy_paste.py",
    "maskrcnn/data/loading.py",
    "maskrcnn/report/count.py",
    "maskrcnn/report/double_counts.py",
)
"""What training learns from, what is measured and what is counted."""
SPEAKERS = re.compile(r"(^|\.)(info|warning|error|debug|say|print|tqdm|set_postfix|set_description|log)$")
LIMIT_S = 100.0  # of processor time for the tests of a file: waiting for others on a loaded machine does not count
HANGS_S = 1200.0  # on the clock: what waits for ever takes no processor time
OUTCOMES = ("killed", "timeout", "survived")
DEAD = OUTCOMES[:2]
HOUSE = ("tests/test_values.py",)
"""Tests of rules that hold for every file."""
TIMEOUT = -1  # instead of an exit status
LIBRARIES = [  # imported once, before a child is forked
    *("torch", "torchvision", "torch.utils.tensorboard", "cv2", "pycocotools.mask", "matplotlib.pyplot"),
    *("pydantic", "yaml", "tifffile", "PIL.Image", "pytest"),
]
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
ARITHMETIC = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "zeros": "ones", "ones": "zeros", "floor": "ceil"}


@dataclass(frozen=True)
class Mutant:
    """One change in one file."""

    file: str
    """Path from the root of the checkout."""
    line: int
    change: str
    """`before -> after`, as source."""
    source: str
    """Of the whole file, changed."""


@dataclass(frozen=True)
class Verdict:
    """What the tests made of a mutant."""

    mutant: Mutant
    outcome: str
    """killed, timeout or survived."""
    by: str
    """The test that failed, or the first file of those that crashed or did not end."""
    seconds: float
    """Processor time."""


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of one file, in the order of its lines."""
    tree = ast.parse(source)
    silent = _spoken(tree)
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        for changed in _changes(node):
            before = ast.get_source_segment(source, node) or ""
            after = changed if isinstance(changed, str) else ast.unparse(ast.fix_missing_locations(changed))
            text = _spliced(source, node, after)
            try:
                compile(text, file, "exec")
            except SyntaxError:  # `pass` where an expression has to be
                continue
            change = f"{' '.join(before.split())[:60]} -> {' '.join(after.split())[:60]}"
            yield Mutant(file, getattr(node, "lineno", 0), change, text)


def _spoken(tree: ast.AST) -> set[int]:
    """Nodes that only speak: messages, docstrings, annotations, imports, and limits at the top of a file."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            parts = [node]
        elif isinstance(node, ast.AnnAssign | ast.arg):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            parts = [*node.decorator_list, node.returns]
        elif (isinstance(node, ast.Expr) and (isinstance(node.value, ast.Constant) or _is_said(node.value))) or (
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper()
        ):
            parts = [node]
        silent.update(id(inner) for part in parts if part is not None for inner in ast.walk(part))
    return silent


def _is_said(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and SPEAKERS.search(ast.unparse(node.func)) is not None


def _changes(node: ast.AST) -> Iterable[ast.AST | str]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert | ast.USub):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1 if isinstance(node.value, int) else node.value * 2 + 0.5)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.If):
        yield _with_test(node, ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Name | ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else node.attr
        if name in NAMES and isinstance(node.ctx, ast.Load):
            other = NAMES[name]
            yield ast.Name(other) if isinstance(node, ast.Name) else ast.Attribute(node.value, other)
    elif isinstance(node, ast.AugAssign | ast.Continue | ast.Break) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield "pass"


def _with_test(node: ast.If, test: ast.expr) -> str:
    """Only the condition is written anew, so that the rest of the statement keeps its lines."""
    return ast.unparse(ast.If(test, [ast.Pass()], [])).partition(":\n")[0]


def _is_text(node: ast.BinOp) -> bool:
    constants = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
    return any(isinstance(value, str) for value in constants)


def _spliced(source: str, node: ast.AST, after: str) -> str:
    """`source` with the text of `node` (of an `if`, as far as its condition) replaced."""
    assert isinstance(node, ast.expr | ast.stmt)
    lines = source.encode().splitlines(keepends=True)  # columns are counted in bytes
    last = node.test if isinstance(node, ast.If) else node
    end_line, end_column = last.end_lineno or node.lineno, last.end_col_offset or 0
    head, tail = lines[node.lineno - 1][: node.col_offset], lines[end_line - 1][end_column:]
    if isinstance(node, ast.If) and lines[node.lineno - 1][node.col_offset :].startswith(b"elif"):
        after = f"el{after}"
    text = after if isinstance(node, ast.stmt) else f"({after})"
    return b"".join([*lines[: node.lineno - 1], head + text.encode() + tail, *lines[end_line:]]).decode()


def tests_of(file: str) -> list[str]:
    """Test files for a file of the package: its mirror, the others that import it, and the rules of the whole house.

    Where no test names the file, those of its folder stand in for both.
    """
    module = file.removesuffix(".py").replace("/", ".")
    mirror = ROOT / "tests" / Path(file).parent.relative_to("maskrcnn") / f"test_{Path(file).name}"
    package, _, stem = (re.escape(part) for part in module.rpartition("."))
    name = re.compile(rf"\b{re.escape(module)}\b|from {package} import .*\b{stem}\b")
    importing = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if name.search(path.read_text("utf-8"))]
    ordered = [mirror] * mirror.exists() + [path for path in importing if path != mirror]
    ordered = ordered or sorted(mirror.parent.glob("test_*.py"))
    first, *others = (path.relative_to(ROOT).as_posix() for path in ordered)
    return [first, *HOUSE, *others]


class _Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from other source than its file's."""

    def __init__(self, name: str, path: str, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.path
        exec(compile(self.source, self.path, "exec"), module.__dict__)


def _child(file: str, source: str, tests: Sequence[str], limit_s: float, answer: Connection) -> None:
    """Run tests with `file` as `source`; answers exit status, first test that failed, processor seconds."""
    import pytest

    gc.freeze()  # what was imported before is looked through no more
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.setsid()  # whatever it starts ends with it
    multiprocessing.set_start_method(None, force=True)  # the default of the system, not the one of the run
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 1, resource.RLIM_INFINITY))
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.meta_path.insert(0, _Replaced(file.removesuffix(".py").replace("/", "."), str(ROOT / file), source))
    failures, said = _Failures(), io.StringIO()
    with TemporaryDirectory() as folder, redirect_stdout(said), redirect_stderr(said):
        options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", f"--basetemp={folder}/tests"]
        status = pytest.main([*options, *tests], plugins=[failures])
    answer.send((int(status), [*failures.names, tests[0]][0] if status else "", time.process_time()))


class _Failures:
    """A plugin of pytest that notes what failed: tests, or files that could not be read."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._note(report)

    def pytest_collectreport(self, report: Any) -> None:
        self._note(report)

    def _note(self, report: Any) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def run_tests(file: str, source: str, tests: Sequence[str], limit_s: float = LIMIT_S) -> tuple[str, str, float]:
    """(killed, survived or timeout; the test that failed; processor seconds). The limit is processor time."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(file, source, tests, limit_s, theirs))
    process.start()
    theirs.close()
    try:
        status, by, seconds = ours.recv() if ours.poll(HANGS_S) else (TIMEOUT, tests[0], limit_s)
    except EOFError:  # it crashed, or came to its limit
        process.join()
        status, by, seconds = (TIMEOUT if process.exitcode == -signal.SIGXCPU else 1), tests[0], limit_s
    if process.pid is not None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.join()
    return ("timeout" if status == TIMEOUT else "survived" if status == 0 else "killed"), by, seconds


def judge(mutant: Mutant) -> Verdict:
    """What the tests of its file make of a mutant: the first file of them, then, where it passes, all the others."""
    outcome, by, seconds = "survived", "", 0.0
    first, *others = tests_of(mutant.file)
    for tests in ([first], others):
        outcome, by, took = run_tests(mutant.file, mutant.source, tests)
        seconds += took
        if outcome != "survived":
            break
    return Verdict(mutant, outcome, by, seconds)


def check_unchanged(tests: Sequence[str]) -> None:
    """The tests that killed something must pass as long as nothing is changed.

    Raises:
        RuntimeError: names the first that does not.
    """
    file = "maskrcnn/__init__.py"
    outcome, by, _ = run_tests(file, (ROOT / file).read_text("utf-8"), tests, LIMIT_S + 10 * len(tests))
    if outcome != "survived":
        raise RuntimeError(f"{by} fails as it is ({outcome})")


def sources(places: Iterable[str]) -> list[str]:
    """Files of the package at those places, files or folders."""
    paths = [path for place in places for path in sorted((ROOT / place).rglob("*.py") or [ROOT / place])]
    paths += [ROOT / place for place in places if place.endswith(".py")]
    return [path.relative_to(ROOT).as_posix() for path in dict.fromkeys(paths) if path.name != "__init__.py"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when fewer than `--target` of the mutants were killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("places", nargs="*", default=PLACES, help="files and folders of the package (default: what learns and counts)")
    add("--mutants", type=int, default=300, help="drawn at random of all there are (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at a time (default: one for each core)")
    add("--target", type=float, default=0.9, help="share to be killed (default: %(default)s)")
    add("--out", type=Path, help="CSV with the verdict on each; where it exists, goes on from it")
    args = parser.parse_args(argv)
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)
    every = [mutant for file in sources(args.places) for mutant in mutants_of(file, (ROOT / file).read_text("utf-8"))]
    chosen = random.Random(args.seed).sample(every, min(args.mutants, len(every)))
    verdicts = _written(args.out, chosen) if args.out is not None else {}
    left = [number for number in range(len(chosen)) if number not in verdicts]
    with ThreadPool(args.jobs) as pool:
        bar = pool.imap_unordered(lambda number: (number, judge(chosen[number])), left)
        for number, verdict in tqdm(bar, total=len(left), disable=None):
            verdicts[number] = verdict
            if args.out is not None:
                _write(args.out, number, verdict)
    check_unchanged(sorted({v.by for v in verdicts.values() if v.outcome == "killed"}))
    _report(sorted(verdicts.values(), key=lambda v: (v.mutant.file, v.mutant.line, v.mutant.change)), len(every))
    return int(sum(v.outcome in DEAD for v in verdicts.values()) < args.target * len(verdicts))


def _written(path: Path, chosen: Sequence[Mutant]) -> dict[int, Verdict]:
    """Verdicts of an earlier run of the same draw, by the number of the mutant."""
    if not path.exists():
        return {}
    verdicts = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            mutant = chosen[int(row["number"])]
            if (row["file"], row["line"], row["change"]) != (mutant.file, str(mutant.line), mutant.change):
                raise ValueError(f"{path}: is of other source or another seed; expected {mutant.file}:{mutant.line}")
            verdicts[int(row["number"])] = Verdict(mutant, row["outcome"], row["by"], float(row["seconds"]))
    return verdicts


def _write(path: Path, number: int, v: Verdict) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if new:
            table.writerow(["number", "file", "line", "change", "outcome", "by", "seconds"])
        m = v.mutant
        table.writerow([number, m.file, m.line, m.change, v.outcome, v.by, f"{v.seconds:.1f}"])


def _report(verdicts: Sequence[Verdict], num_all: int) -> None:
    for v in verdicts:
        if v.outcome not in DEAD:
            print(f"{v.outcome}: {v.mutant.file}:{v.mutant.line}: {v.mutant.change}")
    counts: dict[str, Counter[str]] = {}
    for v in verdicts:
        for room in (v.mutant.file.split("/")[1], "all"):
            counts.setdefault(room, Counter())[v.outcome] += 1
    print(f"{'':12} drawn {' '.join(OUTCOMES)}")
    for room, outcomes in sorted(counts.items(), key=lambda item: (item[0] == "all", item[0])):
        numbers = " ".join(f"{outcomes[outcome]:{len(outcome)}}" for outcome in OUTCOMES)
        print(f"{room:12} {outcomes.total():5} {numbers}")
    num_dead = sum(v.outcome in DEAD for v in verdicts)
    print(f"{num_dead} of {len(verdicts)} killed ({num_dead / max(len(verdicts), 1):.1%}), drawn from {num_all}")


if __name__ == "__main__":
    sys.exit(main())
