#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Build the agent and note its hash. The same compiler gives the same bytes (the committed ones: Debian 12, gcc 12.2.0).
# usage: build.sh [OUTPUT]   (default: ./agent, and agent.sha256 beside it)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/agent}
cd "$here"
${CC:-gcc} -std=gnu11 -Os -Wall -Wextra -ffreestanding -fPIE -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -fno-tree-loop-distribute-patterns -mno-sse -mno-red-zone -fno-jump-tables -fvisibility=hidden \
	-nostdlib -static -no-pie -Wl,-T,agent.lds -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-s agent.c -o "$out"
chmod 755 "$out"
[ $# -gt 0 ] || sha256sum agent > agent.sha256
