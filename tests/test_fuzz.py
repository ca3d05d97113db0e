"""500 damaged and made-up files through the readers: each ends in a result or in a sentence, within limits."""

import signal
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("children are forked", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from fuzzing.annotation_sets import SETS
from fuzzing.annotations import ANNOTATION_TARGETS
from fuzzing.checkpoints import CHECKPOINT_TARGETS
from fuzzing.children import Limits, SilentDifferenceError, Target, run_cases
from fuzzing.exports import EXPORT_TARGETS
from fuzzing.images import IMAGE_TARGETS
from fuzzing.jobs import JOB_TARGETS
from fuzzing.regions import REGION_TARGETS
from fuzzing.uploads import UPLOAD_TARGETS

MANY = {"image": 60, "checkpoint": 60, "pickle": 60, "run-config": 40}
FEW = {f"page-{name}": 1 for name in SETS} | {"run-state": 10}
READERS = [*IMAGE_TARGETS, *ANNOTATION_TARGETS, *REGION_TARGETS, *EXPORT_TARGETS, *CHECKPOINT_TARGETS, *JOB_TARGETS]
TARGETS = [*READERS, *UPLOAD_TARGETS]  # the latter where the extra web is installed
CASES = {target.name: (MANY | FEW).get(target.name, 10) for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_case_ends_well(target: Target):
    outcomes = list(run_cases(target, range(CASES[target.name]), 1, Limits()))
    assert [outcome for outcome in outcomes if outcome.kind not in ("read", "refused")] == []
    assert len(outcomes) == CASES[target.name]
    kinds = {outcome.kind for outcome in outcomes}
    assert "read" in kinds or target.name.startswith("page-"), "where all is refused, nothing is tried"


def test_there_are_500():
    assert sum(CASES.values()) >= 500


def hangs(_: Path) -> str:
    while True:
        pass


def waits(_: Path) -> str:
    signal.pause()
    return "never"


def takes_all(_: Path) -> str:
    return str(len(bytearray(8 << 30)))


def dies(_: Path) -> str:
    import faulthandler
    import os

    faulthandler.disable()  # pytest's would print this child's stack over its own dots
    os.abort()


def slips(_: Path) -> str:
    return {}["nothing"]


def wavers(folder: Path) -> str:
    (folder / "x").write_text("again" if (folder / "x").exists() else "first")
    return (folder / "x").read_text()


def lies(_: Path) -> str:
    raise SilentDifferenceError("other decoders see something else")


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (hangs, "slow"),
        (waits, "slow"),
        (takes_all, "memory"),
        (dies, "crash"),
        (slips, "traceback"),
        (wavers, "differs"),
        (lies, "differs"),
    ],
)
def test_what_goes_wrong_is_found(read: object, kind: str):
    target = Target("made up", lambda folder, rng: None, read)  # type: ignore[arg-type]
    outcomes = list(
        run_cases(target, range(3), 0, Limits(seconds=0.3, waiting_seconds=5 if read is not waits else 0.3))
    )
    assert [(outcome.index, outcome.kind) for outcome in outcomes] == [(i, kind) for i in range(3)]
