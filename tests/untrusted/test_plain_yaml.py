"""YAML of strangers: what is plain is read as PyYAML reads it, the rest is refused in half a sentence, at once."""

from pathlib import Path

import pytest
import yaml

from maskrcnn.untrusted.plain_yaml import MAX_LETTERS, PlainYAMLError, plain_yaml

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_same_as_pyyaml(path: Path):
    text = path.read_text(encoding="utf-8")
    assert plain_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text", ["", "# nothing", "a: 1", "[1, 2]", "a: &x [1]\nb: *x\n", "d: 2020-01-02", "a: &x {b: 1}\nc: {<<: *x}"]
)
def test_small_texts(text: str):
    assert plain_yaml(text) == yaml.safe_load(text)


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (LAUGHS, "aliases"),
        (MERGES, "aliases"),
        ("&a [*a]", "aliases"),
        ("a" * (MAX_LETTERS + 1), "more than 500000 letters"),
        ("[" * 20_000, "nested too deeply"),
        ("{a: " * 20_000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: 2020-13-13", "month must be in 1..12"),
        ("a: 2020-01-01T25:00:00", "hour must be in 0..23"),
        (f"a: {'9' * 5000}", "4300 digits"),
        ("a: [", r"not valid YAML in line 1: while parsing a flow .* expected"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: \x00", "not valid YAML"),
        ("? [1, 2]\n: 3", "unhashable"),
        ("? {a: 1}\n: 3", "unhashable"),
        ("a: !!int x", "not valid YAML"),
        ("a: !!float x", "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!binary é", "not valid YAML"),
        ("a: !!int", "not valid YAML"),
        ("a: !!bool x", "not valid YAML"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_refused(text: str, sentence: str):
    with pytest.raises(PlainYAMLError, match=sentence) as error:
        plain_yaml(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
