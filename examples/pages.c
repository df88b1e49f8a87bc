/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Touches memory in the ways that the kernel tells apart, and says what it saw. No C library: this is also what
 * `make run` shows on a host without a compiler. Built by build.sh; the binary beside it is that build.
 */

typedef unsigned long u64;

#define NR_write 1
#define NR_open 2
#define NR_read 0
#define NR_close 3
#define NR_mmap 9
#define NR_munmap 11
#define NR_exit_group 231

#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 32

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return nr;
}

static void print(const char *text)
{
	u64 n = 0;

	while (text[n])
		n++;
	call(NR_write, 1, (long)text, n, 0, 0, 0);
}

static void print_hex(u64 value)
{
	char text[19] = "0x";
	int digits = 1, i;

	while (digits < 16 && value >> (4 * digits))
		digits++;
	for (i = 0; i < digits; i++)
		text[2 + i] = "0123456789abcdef"[value >> (4 * (digits - 1 - i)) & 15];
	text[2 + digits] = 0;
	print(text);
}

static char *map(u64 length)
{
	return (char *)call(NR_mmap, 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static char table[3 * 4096]; /* .bss: anonymous memory behind the file's pages */

static long fall(int depth)
{
	volatile char frame[4096];

	frame[0] = depth;
	return depth ? fall(depth - 1) + frame[0] : 0;
}

static int main_program(void)
{
	char line[1024];
	volatile char *page;
	long fd, n;
	int i, sum = 0;

	page = map(4096);
	print("one anonymous page:      ");
	print_hex((u64)page);
	print("\n");
	sum += page[0];    /* a read first: the zero page */
	page[0] = 1;       /* then the write: a frame of its own */

	page = map(16 * 4096);
	for (i = 0; i < 16; i++)
		page[i * 4096] = i; /* write first */
	print("sixteen, written:        ");
	print_hex((u64)page);
	print("\n");
	call(NR_munmap, (long)page + 4 * 4096, 4 * 4096, 0, 0, 0, 0); /* a hole: one mapping becomes two */

	for (i = 0; i < 3; i++)
		table[i * 4096] = 1;
	print("the .bss:                ");
	print_hex((u64)table);
	print("\n");
	print("40 frames on the stack:  ");
	print_hex((u64)fall(40));
	print("\n\n/proc/self/maps:\n");

	fd = call(NR_open, (long)"/proc/self/maps", 0, 0, 0, 0, 0);
	if (fd < 0)
		return 1;
	while ((n = call(NR_read, fd, (long)line, sizeof line, 0, 0, 0)) > 0)
		call(NR_write, 1, (long)line, n, 0, 0, 0);
	call(NR_close, fd, 0, 0, 0, 0, 0);
	return n < 0 || sum;
}

__attribute__((used)) static void start(void)
{
	call(NR_exit_group, main_program(), 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tand $-16, %rsp\n\tcall start\n\thlt\n");
