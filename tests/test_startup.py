"""What must not be imported for one picture: each of these takes longer than the network does, and none is needed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
HEAVY = {
    *("torch._dynamo", "torch._inductor", "torch.onnx", "sympy", "triton", "torchvision", "tensorboard"),
    *("pycocotools.coco", "pycocotools.cocoeval", "matplotlib", "scipy", "pandas", "h5py", "IPython", "tifffile"),
}
INFER = """
import sys
import torch
of_torch = set(sys.modules)
from maskrcnn.cli.main import run_tool
status = run_tool("infer", sys.argv[1:])
print(*set(sys.modules) - of_torch)
sys.exit(status)
"""
NMS = """
import sys
import torch
{before}
from maskrcnn.ops.nms import grouped_nms
print("torchvision" in sys.modules)
from torchvision.ops import nms
boxes = torch.rand(200, 4) + torch.tensor([0.0, 0.0, 1.0, 1.0])
scores = torch.rand(200)
kept = grouped_nms(boxes, scores, torch.zeros(200, dtype=torch.long), 0.5)
assert 0 < len(kept) < 200
assert torch.equal(kept, nms(boxes, scores, 0.5))
"""


def python(code: str, *args: str) -> list[str]:
    """Lines that a new process says."""
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_infer_imports_nothing_heavy_beside_torch(tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64, 3), 40, np.uint8)).save(tmp_path / "dark.png")
    args = ("--out", str(tmp_path / "out"), "--device", "cpu", "--resize", "64")
    said = python(INFER, str(tmp_path / "dark.png"), *args)
    assert (tmp_path / "out" / "dark_instances.png").is_file()
    modules = set(said[-1].split())
    assert {"maskrcnn.prediction.predictor", "maskrcnn.report.draw", "cv2"} <= modules
    assert sorted(HEAVY & modules) == []


def test_suppression_takes_only_the_library_of_torchvision_and_leaves_the_package_usable() -> None:
    assert python(NMS.format(before="")) == ["False"]


def test_suppression_imports_torchvision_where_its_library_is_not_found() -> None:
    assert python(NMS.format(before="import importlib.util as u; u.find_spec = lambda *_: None")) == ["True"]
