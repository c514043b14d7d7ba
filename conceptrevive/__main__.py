"""`python -m conceptrevive`."""

import sys

from conceptrevive.cli import main

sys.exit(main())
