#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# `make run`: a real program on the model. The host's busybox if it has one, else a C program built here, else the
# prebuilt examples/pages.
set -eu
cd "$(dirname "$0")/.."
run() {
	echo "\$ mmscope run $*"
	exec mmscope run "$@"
}
if busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1; then
	run --no-aslr -- "$busybox" cat /proc/self/maps
fi
cc=$(command -v cc || command -v gcc || true)
if [ -n "$cc" ]; then
	mkdir -p build
	if "$cc" -O2 -static -o build/hello examples/hello.c 2>/dev/null; then
		run --no-aslr -- build/hello
	fi
fi
run --no-aslr -- examples/pages
