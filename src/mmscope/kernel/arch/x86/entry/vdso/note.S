/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The note by which a C library learns the kernel's version: "Linux", type 0, LINUX_VERSION_CODE of 5.11.0. */
	.section .note, "a", @note
	.balign 4
	.long 2f - 1f, 4f - 3f, 0
1:	.asciz "Linux"
2:	.balign 4
3:	.long (5 << 16) | (11 << 8)
4:	.balign 4
	.section .note.GNU-stack, "", @progbits
