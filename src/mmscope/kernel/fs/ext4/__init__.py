# SPDX-License-Identifier: GPL-2.0-or-later
"""ext4 over a block device and a directory of the host (Linux: fs/ext4/)."""
