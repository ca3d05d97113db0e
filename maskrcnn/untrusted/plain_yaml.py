"""YAML that a stranger may have written: plain values only, and no more of them than the text has room for."""

from pathlib import Path
from typing import Any

import yaml

MAX_LETTERS = 500_000
"""A configuration has 10 thousand, a list of 1203 classes 30 thousand; this many are read in about 7 s."""
MAX_VALUES = 100_000
"""With every alias written out: nine lines of nine aliases each would be a billion."""


class PlainYAMLError(ValueError):
    """Why a text is not read: half a sentence that goes behind the name of its file."""


def read_plain_yaml(path: Path) -> Any:
    """The value of a YAML file in UTF-8, of which no more is read than the limits allow.

    Raises:
        OSError: it cannot be opened.
        PlainYAMLError: see `plain_yaml`; or it is no text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_LETTERS + 1)
    except UnicodeDecodeError:
        raise PlainYAMLError("no text in UTF-8") from None
    return plain_yaml(text)


def plain_yaml(text: str) -> Any:
    """The value of a YAML text: dicts, lists, text, numbers, dates; None of an empty one.

    Raises:
        PlainYAMLError: it is not valid, asks for an object, or holds more than the limits above.
    """
    if len(text) > MAX_LETTERS:
        raise PlainYAMLError(f"more than {MAX_LETTERS} letters, which no configuration has")
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _num_values(node, {}) > MAX_VALUES:
            raise PlainYAMLError(f"its aliases (*name) stand for more than {MAX_VALUES} values")
        return loader.construct_document(node)
    except PlainYAMLError:
        raise
    except RecursionError:
        raise PlainYAMLError("not valid YAML: nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        told = " ".join(part for part in (error.context, error.problem) if part)
        raise PlainYAMLError(f"not valid YAML{line}: {' '.join(told[:500].split())}") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
        # Not all are YAMLErrors: a date such as 2020-13-13, a number of 5000 digits, `!!bool x`.
        raise PlainYAMLError(f"not valid YAML: {' '.join(str(error)[:500].split())}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _num_values(node: yaml.Node, known: dict[int, int]) -> int:
    """Values in `node` when every alias is written out, which merging (`<<`) does; sums, so it never takes long."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MAX_VALUES + 1  # what leads back to itself has no end
    inner = node.value if isinstance(node, yaml.CollectionNode) else ()
    nodes = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
    known[id(node)] = 1 + sum(_num_values(part, known) for part in nodes)
    return known[id(node)]
