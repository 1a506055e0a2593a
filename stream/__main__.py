"""``python -m streamfit.stream`` is the command ``stream-fit``."""

import sys

from .cli import main

sys.exit(main())
