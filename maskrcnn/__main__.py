"""`python -m maskrcnn COMMAND`, the same as `maskrcnn COMMAND`."""

import sys

from maskrcnn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
