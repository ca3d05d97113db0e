"""Packages that only a part of the users needs."""

import importlib
from typing import Any


class MissingPackageError(ImportError):
    """A package of an extra is not installed; the message says which extra."""


def needed(package: str, extra: str, what: str) -> Any:
    """The module `package`, which the extra `extra` of this package installs; `what` needs it.

    Raises:
        MissingPackageError: it is not there.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingPackageError(f'{what} needs {package}: pip install "maskrcnn[{extra}]" ({error})') from error
