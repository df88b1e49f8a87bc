# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle: scenarios of operations that run on the live kernel and on the model, and must give the same answers."""
