"""Are the tests able to fail? Small deliberate errors, one at a time, each met by the tests of the file it is in.

A mutant is never written to disk: a child process imports the changed source in place of the file. What is mutated is
what decides (comparisons, arithmetic, numbers, conditions, booleans, whole statements), not what is said (messages,
docstrings, annotations).

usage: python tools/mutation.py --mutants 300 --seed 0 --out mutants.csv
"""

import argparse
import ast
import csv
import importlib.abc
import importlib.machinery
import io
import multiprocessing
import os
import random
import re
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
from types import ModuleType

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
ROOM_S = 60  # that a mutant may take beside five times what the tests take on the unchanged file
LIBRARIES = ["torch", "cv2", "pycocotools.mask", "pytest", "yaml"]  # imported once, before the first child is forked
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
    """killed, survived, too slow, or untested where no test imports the file."""
    by: str
    """The test that failed."""
    seconds: float


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
    """Test files for a file of the package: its mirror first, then the others that import it."""
    module = file.removesuffix(".py").replace("/", ".")
    mirror = ROOT / "tests" / Path(file).parent.relative_to("maskrcnn") / f"test_{Path(file).name}"
    package, _, stem = (re.escape(part) for part in module.rpartition("."))
    name = re.compile(rf"\b{re.escape(module)}\b|from {package} import .*\b{stem}\b")
    importing = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if name.search(path.read_text("utf-8"))]
    ordered = [mirror] * mirror.exists() + [path for path in importing if path != mirror]
    return [path.relative_to(ROOT).as_posix() for path in ordered]


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


def _child(file: str, source: str, tests: Sequence[str], answer: Connection) -> None:
    """Run `tests` with `file` as `source`; answers the exit status and the name of the first test that failed."""
    import pytest

    os.setsid()  # whatever it starts ends with it
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    sys.meta_path.insert(0, _Replaced(file.removesuffix(".py").replace("/", "."), str(ROOT / file), source))
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests])
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", said.getvalue(), flags=re.MULTILINE)
    answer.send((int(status), failed[0] if failed else ""))


def run_tests(file: str, source: str, tests: Sequence[str], limit_s: float) -> tuple[str, str]:
    """(killed, survived or too slow, the test that failed)."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(file, source, tests, theirs))
    process.start()
    theirs.close()
    try:
        status, by = ours.recv() if ours.poll(limit_s) else (-1, "")
    except EOFError:  # it crashed
        status, by = 1, "the process"
    if process.pid is not None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.join()
    return ("too slow" if status == -1 else "survived" if status == 0 else "killed"), by


def judge(mutant: Mutant, limits: dict[str, float]) -> Verdict:
    """What the tests of its file make of a mutant."""
    tests = tests_of(mutant.file)
    if not tests:
        return Verdict(mutant, "untested", "", 0.0)
    started = time.perf_counter()
    outcome, by = run_tests(mutant.file, mutant.source, tests, limits[mutant.file])
    return Verdict(mutant, outcome, by, time.perf_counter() - started)


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
    add("--out", type=Path, help="CSV with the verdict on each")
    args = parser.parse_args(argv)
    multiprocessing.get_context("forkserver").set_forkserver_preload(LIBRARIES)
    every = [mutant for file in sources(args.places) for mutant in mutants_of(file, (ROOT / file).read_text("utf-8"))]
    chosen = random.Random(args.seed).sample(every, min(args.mutants, len(every)))
    limits: dict[str, float] = {}
    with ThreadPool(args.jobs) as pool:
        files = sorted({mutant.file for mutant in chosen})
        for file, seconds in tqdm(pool.imap(_baseline, files), total=len(files), desc="as they are", disable=None):
            limits[file] = ROOM_S + 5 * seconds
        bar = tqdm(pool.imap_unordered(lambda mutant: judge(mutant, limits), chosen), total=len(chosen), disable=None)
        verdicts = sorted(bar, key=lambda v: (v.mutant.file, v.mutant.line, v.mutant.change))
    _report(verdicts, len(every))
    if args.out is not None:
        with args.out.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["file", "line", "change", "outcome", "by", "seconds"])
            for v in verdicts:
                table.writerow([v.mutant.file, v.mutant.line, v.mutant.change, v.outcome, v.by, f"{v.seconds:.1f}"])
    return int(sum(v.outcome in ("killed", "too slow") for v in verdicts) < args.target * len(verdicts))


def _baseline(file: str) -> tuple[str, float]:
    """Seconds that the tests of a file take; they must pass before anything is changed."""
    tests, started = tests_of(file), time.perf_counter()
    outcome, by = run_tests(file, (ROOT / file).read_text("utf-8"), tests, 900) if tests else ("survived", "")
    if outcome != "survived":
        raise RuntimeError(f"{file}: its tests fail as it is ({outcome} {by})")
    return file, time.perf_counter() - started


def _report(verdicts: Sequence[Verdict], num_all: int) -> None:
    for v in verdicts:
        if v.outcome not in ("killed", "too slow"):
            print(f"{v.outcome}: {v.mutant.file}:{v.mutant.line}: {v.mutant.change}")
    counts = Counter(v.mutant.file.split("/")[1] for v in verdicts)
    dead = Counter(v.mutant.file.split("/")[1] for v in verdicts if v.outcome in ("killed", "too slow"))
    for room, number in sorted(counts.items()):
        print(f"{room:12} {dead[room]:4} of {number:4} killed")
    num_dead, num = sum(dead.values()), len(verdicts)
    print(f"{num_dead} of {num} killed ({num_dead / max(num, 1):.1%}), drawn from {num_all}")


if __name__ == "__main__":
    sys.exit(main())
