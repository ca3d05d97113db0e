"""Find, outline, count and draw every object in pictures."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("convert_weights"))
