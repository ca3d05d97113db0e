"""Check this machine: versions, hardware, whether the answer is right, how fast it comes."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("doctor"))
