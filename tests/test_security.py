"""The limits that SECURITY.md states are those that hold."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| .* \| ([0-9.,]+) \| `([\w.]+)\.(\w+)(?:\[\"(\w+)\"\])?` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("stated", "module", "name", "key"), ROWS, ids=[f"{row[1]}.{row[2]}" for row in ROWS])
def test_a_limit_is_the_one_that_holds(stated: str, module: str, name: str, key: str) -> None:
    value = getattr(importlib.import_module(f"maskrcnn.{module}"), name)
    assert float(stated.replace(",", "")) == (value[key] if key else value)


def test_every_row_is_compared() -> None:
    num_rows = sum(line.startswith("| ") for line in PAGE.splitlines()) - 1  # the heading
    assert len(ROWS) == num_rows >= 20
