"""Serve a model over HTTP."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("serve"))
