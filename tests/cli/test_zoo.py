import subprocess
import sys
from pathlib import Path

import pytest

import maskrcnn.cli.zoo
from maskrcnn.checkpoints.download import cached_path, part_path
from maskrcnn.checkpoints.manifest import Entry, find, load_manifest
from maskrcnn.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKRCNN_HOME", str(tmp_path / "home"))


def named(name: str) -> Entry:
    entry = find(name)
    assert entry is not None
    return entry


def test_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert " ".join(header.split()) == "name network classes box AP mask AP PQ mean IoU MB licence cached"
    for entry, line in zip(load_manifest().values(), lines, strict=False):
        assert line.startswith(f"{entry.name} ")
        assert f" {entry.licence} " in line
        assert line.endswith(" no")
        # Columns stand below their headers.
        assert line[header.index("network") :].startswith(entry.network)
        assert line[header.index("box AP") :].startswith(str(entry.box_ap or "-"))
        assert line[header.index("PQ") :].startswith(str(entry.pq or "-"))
        assert line[header.index("mean IoU") :].startswith(str(entry.mean_iou or "-"))
    assert "coco is detectron2-r101-3x" in " ".join(lines[-3:-1])
    assert lines[-1] == f"downloads are kept in {tmp_path / 'home' / 'weights'} (set MASKRCNN_HOME to change this)"
    assert not (tmp_path / "home").exists()
    assert "https://" not in "".join(lines)
    assert max(map(len, lines[:-1])) <= 120  # the folder of the last one may have any length


def test_what_is_in_the_cache(capsys: pytest.CaptureFixture[str]) -> None:
    whole, half = cached_path(named("coco")), part_path(named("matterport"))
    whole.parent.mkdir(parents=True)
    whole.write_bytes(b"1" * 4_000_000)
    half.write_bytes(b"1" * 2_000_000)
    assert main(["zoo"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines["detectron2-r101-3x"].split()[-3:] == ["4", "CC-BY-SA-3.0", "yes"]
    assert lines["matterport-r101"].endswith("  2 MB")


def test_the_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "--urls"]) == 0
    said = capsys.readouterr().out
    for entry in load_manifest().values():
        others = f", also called {', '.join(entry.aliases)}" if entry.aliases else ""
        assert f"\n{entry.name}{others}\n  {entry.url}\n  from {entry.source}\n" in said


def test_download_ahead_of_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    fetched: list[str] = []

    def fetch(entry: Entry) -> Path:
        fetched.append(entry.name)
        (tmp_path / entry.file).write_bytes(b"1" * 3_000_000)
        return tmp_path / entry.file

    monkeypatch.setattr(maskrcnn.cli.zoo, "fetch", fetch)
    assert main(["zoo", "--download", "coco", "torchvision-r50-v2"]) == 0
    assert fetched == ["detectron2-r101-3x", "torchvision-r50-v2"]
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{tmp_path}/model_final_a3ec72.pkl: 3.0 MB, licence CC-BY-SA-3.0; use it with --weights coco"
    assert second.endswith("; use it with --weights torchvision-r50-v2")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["coko"], "error: no public checkpoint named 'coko'; did you mean coco?\n"),
        (["coco", "???"], "error: no public checkpoint named '???'; maskrcnn zoo lists them\n"),
    ],
)
def test_an_unknown_name_downloads_nothing(names: list[str], sentence: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(maskrcnn.cli.zoo, "fetch", pytest.fail)
    assert main(["zoo", "--download", *names]) == 1
    assert capsys.readouterr() == ("", sentence)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["zoo", "--help"])
    assert "example: maskrcnn zoo --download coco" in capsys.readouterr().out


def test_the_list_does_not_wait_for_torch() -> None:
    code = "import sys; from maskrcnn.cli.main import main; main(['zoo']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert "maskrcnn.checkpoints.manifest" in modules
    assert not {"torch", "torchvision", "numpy", "cv2", "matplotlib"} & set(modules)
