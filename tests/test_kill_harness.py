"""The kill harness itself, on a few kills of infer."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_killed_infer_ends_as_one_that_was_left_alone() -> None:
    command = [
        sys.executable,
        str(ROOT / "tools" / "kill_harness.py"),
        "--infer",
        "2",
        "--train",
        "0",
        "--pictures",
        "6",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[:2][0].startswith("infer 1: killed after ")
    name, _, kills, _, equal, left = (cell.strip() for cell in run.stdout.splitlines()[-1].strip("|").split("|"))
    assert (name, kills, equal, left) == ("infer", "2", "2", "0")
