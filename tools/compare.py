"""Put methods without weights and networks in one table, on annotated images of your own."""

import sys

from maskrcnn.cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("compare"))
