#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds examples/pages from pages.c: `build.sh [OUT]`. With Debian 12's gcc the result is the binary beside it.
set -eu
cd "$(dirname "$0")"
${CC:-gcc} -m64 -march=x86-64 -O1 -std=gnu11 -Wall -Wextra -ffreestanding -nostdlib -static -no-pie -fno-pic \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-ident -mno-sse -fno-builtin \
	-fno-optimize-sibling-calls -fno-tree-loop-distribute-patterns \
	-Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 -Wl,-s -o "${1:-pages}" pages.c
