"""List the public checkpoints, and download them ahead of time."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("zoo"))
