"""The tool that makes deliberate errors makes those it should, and tells a killed one from one that survives."""

from pathlib import Path

import pytest

from tools import mutation

ROOT = Path(__file__).parents[1]
SOURCE = '''"""Docstring with 1 number."""
LIMIT = 5


def shorter(a: int, b: int = 3) -> int:
    """Not this 7."""
    if a < b:
        raise ValueError(f"got {a + 1}")
    elif not a:
        a += 2
    return min(a, b) * 4
'''


def test_what_decides_is_changed_and_what_is_said_is_not() -> None:
    mutants = list(mutation.mutants_of("a.py", SOURCE))
    changes = {(m.line, m.change) for m in mutants}
    assert {(7, "a < b -> a <= b"), (11, "min -> max"), (10, "a += 2 -> pass"), (11, "4 -> 5")} <= changes
    assert {(5, "3 -> 4"), (9, "not a -> a"), (10, "2 -> 3"), (11, "min(a, b) * 4 -> min(a, b) / 4")} <= changes
    assert not [m for m in mutants if m.line in (1, 2, 6, 8)]
    for mutant in mutants:
        compile(mutant.source, "a.py", "exec")
        assert mutant.source != SOURCE
        assert len(mutant.source.splitlines()) == len(SOURCE.splitlines())


def test_a_condition_is_turned_round_in_its_place() -> None:
    sources = [m.source for m in mutation.mutants_of("a.py", SOURCE)]
    assert sum("    if not a < b:\n" in source for source in sources) == 1
    assert sum("    elif not (not a):\n" in s or "    elif not not a:\n" in s for s in sources) == 1


def test_a_mutant_is_killed_by_the_tests_of_its_file_or_survives() -> None:
    file = "maskrcnn/report/count.py"
    source = (ROOT / file).read_text("utf-8")
    tests = mutation.tests_of(file)
    assert tests[0] == "tests/report/test_count.py"
    outcome, by, seconds = mutation.run_tests(file, source, tests[:1])
    assert (outcome, by) == ("survived", "")
    assert seconds > 0
    outcome, by, _ = mutation.run_tests(file, source + "\n\ndef count(instances):\n    return {}\n", tests[:1])
    assert outcome == "killed"
    assert by.startswith("tests/report/test_count.py::")


def test_what_does_not_end_is_told_from_what_fails() -> None:
    file = "maskrcnn/report/count.py"
    outcome, by, _ = mutation.run_tests(file, "while True:\n    pass\n", ["tests/report/test_count.py"], limit_s=1)
    assert (outcome, by) == ("timeout", "tests/report/test_count.py")


def test_a_run_goes_on_from_its_table(tmp_path: Path) -> None:
    chosen = list(mutation.mutants_of("a.py", SOURCE))[:3]
    path = tmp_path / "mutants.csv"
    assert mutation._written(path, chosen) == {}
    verdicts = {
        2: mutation.Verdict(chosen[2], "killed", "t.py::t", 1.5),
        0: mutation.Verdict(chosen[0], "survived", "", 2),
    }
    for number, verdict in verdicts.items():
        mutation._write(path, number, verdict)
    assert mutation._written(path, chosen) == verdicts
    with pytest.raises(ValueError, match="other source or another seed"):
        mutation._written(path, chosen[::-1])


def test_a_test_that_fails_anyway_kills_nothing(tmp_path: Path) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('sum', ['1 + 1', '1 + 2'])\ndef test_sums(sum):\n"
        "    assert eval(sum) == 2\n"
    )
    mutation.check_unchanged(["tests/report/test_count.py"])
    with pytest.raises(RuntimeError, match=r"::test_sums\[1 \+ 2\] fails as it is"):
        mutation.check_unchanged(["tests/report/test_count.py", str(failing)])
