# SPDX-License-Identifier: GPL-2.0-or-later
"""The recorder: what the agent answers on another kernel, booted under QEMU.

Neither tests nor CI need it: they read the files that it wrote, tests/data/truth. It needs apt, dpkg, gcc, qemu-system-x86.
"""
