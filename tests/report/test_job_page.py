import base64
import hashlib
import io
import json
import re
from typing import Any

import numpy as np
import pytest

from maskrcnn.report.job_page import MARK, NUM_BINS, histogram, write_job_page

HOSTILE = "</script><script>alert('1')</script>\"'&<!--"


def made(**changes: Any) -> str:
    """A page of one image."""
    values = {
        "title": "cells",
        "facts": [("weights", "nuclei")],
        "class_names": ["nucleus"],
        "images": [{"name": "a.png", "counts": {"nucleus": 2}, "status": "ok", "drawing": None}],
        "columns": ["file", "score"],
        "rows": [["a.png", "0.5"]],
        "num_rows": 1,
        "areas": [4.0],
        "scores": [0.5],
    }
    page = io.StringIO()
    write_job_page(page, **values | changes)
    return page.getvalue()


def data_of(page: str, name: str) -> Any:
    """What the page's script reads."""
    return json.loads(re.findall(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)[0])


def test_what_strangers_named_is_data() -> None:
    image = {"name": HOSTILE, "counts": {HOSTILE: 1}, "status": HOSTILE, "drawing": HOSTILE}
    page = made(title=HOSTILE, class_names=[HOSTILE], images=[image], rows=[[HOSTILE, ""]], facts=[(HOSTILE, HOSTILE)])
    assert page.count("<script") == page.count("</script>") == 3
    assert "alert('1')</script>" not in page
    assert data_of(page, "images") == [image]
    rest = data_of(page, "rest")
    assert (rest["classes"], rest["rows"], rest["facts"]) == ([HOSTILE], [[HOSTILE, ""]], [[HOSTILE, HOSTILE]])
    assert "<title>&lt;/script&gt;" in page
    # What is no UTF-8, and what turns the direction of writing, is spelt out.
    assert "<h1>\\xff\\u202e</h1>" in made(title="\udcff\u202e")


def test_only_its_own_script_and_style_may_run() -> None:
    page = made()
    (policy,) = re.findall('http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag, name in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy
    assert not re.findall(r"(?:src|href)=.?(?:https?:)?//", page)
    assert page.startswith(f"<!DOCTYPE html>\n{MARK}\n")


def test_bins_cover_all_values() -> None:
    assert histogram([]) == histogram([np.nan]) == {"edges": [], "counts": []}
    even = histogram([0.0, 1.0, 2.0, 24.0])
    assert (even["edges"][:3], even["edges"][-1], len(even["counts"])) == ([0, 1, 2], 24, NUM_BINS)
    assert even["counts"][:3] == [1, 1, 1]
    one = histogram([5.0, 5.0])
    assert sum(one["counts"]) == 2
    # Areas of 1 to 2^24: each bin reaches twice as far as the one before.
    wide = histogram([2.0**i for i in range(25)])
    assert wide["edges"][:4] == [1, 2, 4, 8]
    assert sum(wide["counts"]) == 25


def test_numbers_that_json_has_not_are_an_error() -> None:
    with pytest.raises(ValueError, match="JSON"):
        made(images=[{"name": "a", "counts": None, "status": "ok", "scores": [np.nan]}])
