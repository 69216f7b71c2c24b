"""`python -m seriatim` is the command line."""

import sys

from seriatim.cli.main import main

sys.exit(main())
