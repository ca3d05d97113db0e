"""Check a data set before training on it."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("check_dataset"))
