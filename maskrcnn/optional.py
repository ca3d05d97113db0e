"""Packages that only a part of the users needs."""

import importlib
from types import ModuleType


def needed(package: str, extra: str, what: str) -> ModuleType:
    """The module `package`, which the extra `extra` of this package installs.

    Raises:
        ImportError: it is not there; says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f'{what}: this needs {package}: pip install "maskrcnn[{extra}]" ({error})') from error
