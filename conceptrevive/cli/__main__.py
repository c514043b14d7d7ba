"""`python -m conceptrevive.cli`."""

import sys

from conceptrevive.cli import main

sys.exit(main())
