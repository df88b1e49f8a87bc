# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m mmscope` is `mmscope`."""

from __future__ import annotations

import sys

from mmscope.cli.main import main

sys.exit(main())
