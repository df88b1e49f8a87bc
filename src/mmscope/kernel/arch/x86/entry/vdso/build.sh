#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the vDSO image. `build.sh OUT.so` writes the ELF file; `build.sh --py` rewrites ../../vdso_image.py with it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUT.so | --py}
py=
if [ "$out" = --py ]; then
	py=$here/../../vdso_image.py
	out=$(mktemp)
	trap 'rm -f "$out"' EXIT
fi
cd "$here"
${CC:-gcc} -m64 -march=x86-64 -O2 -std=gnu11 -Wall -Wextra -Werror -fPIC -ffreestanding -nostdlib -shared \
	-fno-stack-protector -fcf-protection=none -fno-builtin -fasynchronous-unwind-tables -fno-tree-vectorize \
	-mno-sse -fno-jump-tables -fno-ident -ffile-prefix-map="$here"=. \
	-Wl,-T,vdso.lds -Wl,-soname=linux-vdso.so.1 -Wl,--hash-style=both -Wl,--eh-frame-hdr -Wl,-Bsymbolic \
	-Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 -Wl,--no-undefined -Wl,-s \
	-o "$out" vclock_gettime.c note.S
size=$(wc -c <"$out")
if [ "$size" -gt 4096 ]; then
	echo "build.sh: the image has $size bytes, more than a page" >&2
	exit 1
fi
[ -z "$py" ] || python3 - "$out" >"$py.new" <<'EOF'
import hashlib
import sys

image = open(sys.argv[1], "rb").read()
print("# SPDX-License-Identifier: GPL-2.0-or-later")
print('"""The vDSO image: built by entry/vdso/build.sh from the sources beside it; not to be edited."""\n')
print("from __future__ import annotations\n")
print("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Final\n")
print(f'#: sha256 of the {len(image)} bytes.\nSHA256: Final = "{hashlib.sha256(image).hexdigest()}"\n')
print("#: The ELF file.\nIMAGE: Final = bytes.fromhex(")
for at in range(0, len(image), 60):
    print(f'    "{image[at:at + 60].hex()}"')
print(")")
EOF
[ -z "$py" ] || mv "$py.new" "$py"
