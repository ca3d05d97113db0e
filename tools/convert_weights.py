"""Make one of our checkpoints from a file of another package."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("convert_weights"))
