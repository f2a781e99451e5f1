"""`python -m carnet.cli`."""

import sys

from carnet.cli.entry import main

sys.exit(main())
