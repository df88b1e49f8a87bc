// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The oracle's agent: performs operations that it reads as lines on stdin, raw, and answers each with one line on stdout.
 * The same bytes run on the live kernel, in a recording guest and on the model; docs/oracle.md describes the protocol.
 *
 * It must not disturb what it reports: no libc, no allocation, a stack of its own, everything it owns touched at the
 * start, an image above mmap_base where neither mmap() nor the heap looks. At its start it fills the space from ARENA_TOP to
 * vvar and vdso, whose sizes depend on the kernel's build, so that mmap() places its first mapping below ARENA_TOP everywhere.
 */
typedef unsigned long u64;
typedef long s64;
typedef unsigned char u8;

#define PAGE 4096UL
#define ARENA_TOP 0x7ffff7e00000UL
#define MMAP_BASE 0x7ffff7fff000UL
#define STACK_TOP 0x7ffffffff000UL
#define NR_SLOTS 512
#define SLOT_HEAP 510
#define SLOT_STACK 511
#define NR_CHILDREN 8
#define NR_SHM 32
#define PRIVATE_FD 100
#define ENOSYS 38

enum {
	NR_read = 0, NR_write = 1, NR_close = 3, NR_mmap = 9, NR_munmap = 11, NR_brk = 12, NR_rt_sigaction = 13,
	NR_rt_sigreturn = 15, NR_mincore = 27, NR_madvise = 28, NR_shmget = 29, NR_shmctl = 31, NR_fork = 57, NR_wait4 = 61,
	NR_fcntl = 72, NR_getrusage = 98, NR_sigaltstack = 131, NR_munlockall = 152, NR_exit_group = 231, NR_openat = 257,
	NR_pipe2 = 293, NR_prlimit64 = 302, NR_pread64 = 17, NR_setrlimit = 160, NR_close_range = 436, NR_unlink = 87,
	NR_fsync = 74, NR_personality = 135, NR_waitid = 247, NR_prctl = 157, NR_socketpair = 53, NR_sendmsg = 46, NR_recvmsg = 47,
};

extern u8 image_start[], image_end[], data_end[];

struct child { s64 pid; int to, from; };

/* A child on its way to the root: a struct msghdr, and what it points to. */
struct will {
	struct { u64 name, name_len, iov, iov_len, control, control_len, flags; } head;
	struct { u64 base, len; } iov;
	struct { u64 len; int level, type, to, from; } control;
	struct { s64 which, pid; } body;
};

/* One page of data so that the segment is not empty; the rest is bss. */
static u64 started = 1;
static u8 stack[32768] __attribute__((aligned(4096), used));
static u8 altstack[16384] __attribute__((aligned(4096)));
static u8 in[65536], line[8192], out[65536], text[65536];
/* What `&N` points to: a scenario's own small structures. */
static u8 data[65536] __attribute__((aligned(4096)));
static u64 slots[NR_SLOTS];
static struct child children[NR_CHILDREN];
static s64 shm[NR_SHM];
static u64 rlimits[16][2];
static u64 in_at, in_end, out_at, nr_shm, start_brk, start_stack, fill_end, limits_changed, unbuffered;
static u64 min_flt, maj_flt, persona_changed, persona;
static int in_fd = 0, out_fd = 1;
/* A pair of sockets that all processes have: the root receives at the first one. */
static int orphanage[2];
static volatile u64 guarded, fault_signo, fault_code, fault_addr;

static s64 sys(s64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	s64 ret;
	register u64 r10 __asm__("r10") = d;
	register u64 r8 __asm__("r8") = e;
	register u64 r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The only instructions that touch a scenario's memory from user mode. A fault in one resumes at `recover`: nothing is on the
 * stack but the return address. */
u64 load1(u64), load2(u64), load4(u64), load8(u64);
void store1(u64, u64), store2(u64, u64), store4(u64, u64), store8(u64, u64), call(u64);
extern u8 recover[], restore_rt[];
__asm__(
	".text\n"
	"load1: movzbl (%rdi),%eax\n ret\n"
	"load2: movzwl (%rdi),%eax\n ret\n"
	"load4: movl (%rdi),%eax\n ret\n"
	"load8: movq (%rdi),%rax\n ret\n"
	"store1: movb %sil,(%rdi)\n ret\n"
	"store2: movw %si,(%rdi)\n ret\n"
	"store4: movl %esi,(%rdi)\n ret\n"
	"store8: movq %rsi,(%rdi)\n ret\n"
	"call: call *%rdi\n ret\n"
	"recover: ret\n"
	"restore_rt: mov $15,%eax\n syscall\n"
	".globl _start\n"
	"_start: xor %ebp,%ebp\n lea stack+32768(%rip),%rsp\n call agent\n ud2\n");

static void flush(void)
{
	u64 done = 0;

	while (done < out_at) {
		s64 n = sys(NR_write, out_fd, (u64)out + done, out_at - done, 0, 0, 0);

		if (n <= 0)
			sys(NR_exit_group, 97, 0, 0, 0, 0, 0);
		done += n;
	}
	out_at = 0;
}

static void put(u8 c)
{
	if (out_at == sizeof(out))
		flush();
	out[out_at++] = c;
}

static void puts(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_hex(u64 value)
{
	u8 digits[16];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	while (n)
		put(digits[--n]);
}

static void put_dec(u64 value)
{
	u8 digits[20];
	int n = 0;

	do {
		digits[n++] = '0' + value % 10;
		value /= 10;
	} while (value);
	while (n)
		put(digits[--n]);
}

/* A system call's result: -ERRNO in decimal, all else in hex. */
static void put_result(s64 value)
{
	if (value < 0 && value >= -4095) {
		put('-');
		put_dec(-value);
	} else {
		puts("0x");
		put_hex(value);
	}
}

static u64 hash_step(u64 hash, u8 byte)
{
	return (hash ^ byte) * 0x100000001b3UL;
}

static void on_fault(int signo, u8 *info, u8 *context)
{
	fault_signo = signo;
	fault_code = *(int *)(info + 8);
	fault_addr = *(u64 *)(info + 16);
	if (!guarded) {
		flush();
		sys(NR_exit_group, 96, 0, 0, 0, 0, 0);
	}
	/* uc_mcontext.gregs[REG_RIP] */
	*(u64 *)(context + 168) = (u64)recover;
}

static int faulted(void)
{
	guarded = 0;
	return fault_signo != 0;
}

static void guard(void)
{
	fault_signo = 0;
	guarded = 1;
}

static u64 load(u64 addr, u64 size)
{
	u64 value = 0;

	switch (size) {
	case 1: return load1(addr);
	case 2: return load2(addr);
	case 4: return load4(addr);
	case 8: return load8(addr);
	}
	for (u64 i = 0; i < size && !fault_signo; i++)
		value |= load1(addr + i) << 8 * i;
	return value;
}

static void store(u64 addr, u64 size, u64 value)
{
	switch (size) {
	case 1: store1(addr, value); return;
	case 2: store2(addr, value); return;
	case 4: store4(addr, value); return;
	case 8: store8(addr, value); return;
	}
	for (u64 i = 0; i < size && !fault_signo; i++)
		store1(addr + i, value >> 8 * i);
}

/* "! SIGNO CODE ADDR" after an access that faulted. */
static void put_fault(void)
{
	puts("! ");
	put_dec(fault_signo);
	put(' ');
	put_dec(fault_code);
	puts(" 0x");
	put_hex(fault_addr);
}

static int next_byte(void)
{
	if (in_at == in_end) {
		s64 n;

		if (out_at && (unbuffered || in_fd != 0))
			flush();
		n = sys(NR_read, in_fd, (u64)in, sizeof(in), 0, 0, 0);
		if (n <= 0)
			return -1;
		in_at = 0;
		in_end = n;
	}
	return in[in_at++];
}

/* The next line into `line`, NUL-terminated. False at the end of the input. */
static int read_line(void)
{
	u64 n = 0;

	for (;;) {
		int c = next_byte();

		if (c < 0)
			return 0;
		if (c == '\n')
			break;
		if (n < sizeof(line) - 1)
			line[n++] = c;
	}
	line[n] = 0;
	return 1;
}

static u64 parse_hex(u8 **at)
{
	u64 value = 0;

	for (;; (*at)++) {
		u8 c = **at;

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (c - 'a' + 10);
		else
			return value;
	}
}

/* HEX, -HEX, $SLOT, $SLOT+HEX, &OFFSET (in `data`), "WORD (a pointer to it). */
static u64 parse(u8 **at)
{
	u64 value;

	while (**at == ' ')
		(*at)++;
	switch (**at) {
	case '"':
		value = (u64)++*at;
		while (**at && **at != ' ')
			(*at)++;
		if (**at)
			*(*at)++ = 0;
		return value;
	case '$':
		++*at;
		value = slots[parse_hex(at) % NR_SLOTS];
		if (**at == '+') {
			++*at;
			value += parse_hex(at);
		}
		return value;
	case '&':
		++*at;
		return (u64)data + parse_hex(at);
	case '-':
		++*at;
		return -parse_hex(at);
	}
	return parse_hex(at);
}

/* A whole file of /proc into `text`; its length. */
static s64 slurp(const char *path)
{
	s64 n = 0, got;
	s64 fd = sys(NR_openat, -100, (u64)path, 0, 0, 0, 0);

	if (fd < 0)
		return fd;
	while (n < (s64)sizeof(text) - 1 && (got = sys(NR_read, fd, (u64)text + n, sizeof(text) - 1 - n, 0, 0, 0)) > 0)
		n += got;
	sys(NR_close, fd, 0, 0, 0, 0, 0);
	text[n] = 0;
	return n;
}

static void put_file(const char *path)
{
	s64 n = slurp(path);

	puts("= ");
	if (n < 0)
		put_result(n);
	for (s64 i = 0; i < n; i++)
		put(text[i] == '\n' ? '|' : text[i]);
}

static void read_faults(u64 *min, u64 *maj)
{
	static u64 usage[18];

	sys(NR_getrusage, 0, (u64)usage, 0, 0, 0, 0);
	*min = usage[8];
	*maj = usage[9];
}

/* Write to each page of our own, so that none of its faults is counted as the scenario's. */
static void touch_self(void)
{
	for (volatile u8 *p = image_start; p < data_end; p += PAGE)
		*p = *p;
	read_faults(&min_flt, &maj_flt);
	read_faults(&min_flt, &maj_flt);
}

static void put_pagemap(u64 addr, u64 pages)
{
	s64 fd = sys(NR_openat, -100, (u64)"/proc/self/pagemap", 0, 0, 0, 0);
	s64 n = fd;

	puts("= ");
	if (fd >= 0) {
		if (pages > 4096)
			pages = 4096;
		n = sys(NR_pread64, fd, (u64)text, pages * 8, (addr >> 12) * 8, 0, 0);
		sys(NR_close, fd, 0, 0, 0, 0, 0);
	}
	if (n < 0)
		put_result(n);
	/* present 63, swap 62, file or shared 61, exclusive 56; neither pfn nor soft-dirty */
	for (s64 i = 0; i < n / 8; i++) {
		u64 entry = ((u64 *)text)[i];

		put("-EfF"[(entry >> 61 & 1) * 2 + (entry >> 56 & 1)]);
		put(entry >> 63 ? 'p' : entry >> 62 & 1 ? 's' : '.');
		put(' ');
	}
}

static void put_mincore(u64 addr, u64 len)
{
	s64 ret;
	u64 pages = (len + PAGE - 1) / PAGE;

	if (pages > sizeof(text))
		pages = 0;
	for (u64 i = 0; i < pages; i++)
		text[i] = 9;
	ret = sys(NR_mincore, addr, len, (u64)text, 0, 0, 0);
	puts("= ");
	put_result(ret);
	if (ret == 0) {
		put(' ');
		for (u64 i = 0; i < pages; i++)
			put('0' + text[i]);
	}
}

static unsigned reap(struct child *child)
{
	int status = 0;

	sys(NR_close, child->to, 0, 0, 0, 0, 0);
	sys(NR_close, child->from, 0, 0, 0, 0, 0);
	sys(NR_wait4, child->pid, (u64)&status, 0, 0, 0, 0);
	child->pid = 0;
	return status;
}

/* End the children that are left, and theirs: none may be left behind, whose end would come at some time of its own. */
static void reap_all(void)
{
	for (int i = 0; i < NR_CHILDREN; i++)
		if (children[i].pid)
			reap(&children[i]);
}

/* Fill what lies below vvar, with a mapping that merges with none. */
static void fill(void)
{
	sys(NR_munmap, ARENA_TOP, fill_end - ARENA_TOP, 0, 0, 0, 0);
	sys(NR_mmap, ARENA_TOP, fill_end - ARENA_TOP, 0, 0x4032 /* PRIVATE FIXED ANONYMOUS NORESERVE */, -1, 0);
	sys(NR_madvise, ARENA_TOP, fill_end - ARENA_TOP, 16 /* MADV_DONTDUMP */, 0, 0, 0);
}

/* Back to the state after start. */
static void reset(void)
{
	u64 heap;
	u8 *p;

	reap_all();
	/* Those whose parent a signal has ended. */
	while (sys(NR_wait4, -1, 0, 1 /* WNOHANG */, 0, 0, 0) > 0)
		;
	while (nr_shm)
		sys(NR_shmctl, shm[--nr_shm], 0, 0, 0, 0, 0);
	if (limits_changed)
		for (u64 i = 0; i < 16; i++)
			sys(NR_prlimit64, 0, i, (u64)rlimits[i], 0, 0, 0);
	limits_changed = 0;
	if (persona_changed)
		sys(NR_personality, persona, 0, 0, 0, 0, 0);
	persona_changed = 0;
	sys(NR_munlockall, 0, 0, 0, 0, 0, 0);
	sys(NR_brk, start_brk, 0, 0, 0, 0, 0);
	slurp("/proc/self/maps");
	for (p = text; *p;) {
		u64 start = parse_hex(&p), end;

		p++;
		end = parse_hex(&p);
		while (*p && *p++ != '\n')
			;
		if (start >= (u64)image_start && end <= (u64)image_end)
			continue;
		if (start >= ARENA_TOP && end <= MMAP_BASE)
			continue;
		if (start >> 63)
			continue;
		if (end == STACK_TOP) {
			if (start < start_stack)
				sys(NR_munmap, start, start_stack - start, 0, 0, 0, 0);
			continue;
		}
		sys(NR_munmap, start, end - start, 0, 0, 0, 0);
	}
	heap = sys(NR_brk, 0, 0, 0, 0, 0, 0);
	if (heap > start_brk) {
		/* Later kernels do not shrink a heap that was unmapped. */
		sys(NR_mmap, start_brk, heap - start_brk, 3, 0x32, -1, 0);
		sys(NR_brk, start_brk, 0, 0, 0, 0, 0);
	}
	/* Page tables that nothing uses any more go with the last mapping near them. */
	sys(NR_mmap, 0x20000000, PAGE, 0, 0x32, -1, 0);
	sys(NR_munmap, 0x20000000, PAGE, 0, 0, 0, 0);
	fill();
	sys(NR_close_range, 3, PRIVATE_FD - 1, 0, 0, 0, 0);
	for (u64 i = 0; i < NR_SLOTS; i++)
		slots[i] = 0;
	slots[SLOT_HEAP] = start_brk;
	slots[SLOT_STACK] = start_stack;
	for (u64 i = 0; i < sizeof(data); i++)
		data[i] = 0;
	read_faults(&min_flt, &maj_flt);
}

/* A file of the working directory as it was before the scenario: `len` bytes, or -1 for no such file. A new one each time: what
 * the scenario did to the old one's cache goes with it. */
static void put_back(const char *path, u64 len)
{
	u64 value = 0;
	s64 fd, n;

	sys(NR_unlink, (u64)path, 0, 0, 0, 0, 0);
	if (len == -1UL)
		return;
	fd = sys(NR_openat, -100, (u64)path, 0301 /* O_WRONLY O_CREAT O_EXCL */, 0644, 0, 0);
	if (fd < 0)
		return;
	/* Page by page: one write of more may get a large folio. */
	for (; len; len -= n) {
		/* As file_bytes() of runner.py: multiples of the golden ratio. */
		for (u64 i = 0; i < PAGE / 8; i++, value += 0x9e3779b97f4a7c15UL)
			((u64 *)text)[i] = value;
		n = sys(NR_write, fd, (u64)text, len < PAGE ? len : PAGE, 0, 0, 0);
		if (n <= 0)
			break;
	}
	/* Clean: a page that is being written back at some time of its own is locked, and passed over by fault-around. */
	sys(NR_fsync, fd, 0, 0, 0, 0, 0);
	sys(NR_close, fd, 0, 0, 0, 0, 0);
	read_faults(&min_flt, &maj_flt);
}

static int private_fd(int fd)
{
	int moved = sys(NR_fcntl, fd, 1030 /* F_DUPFD_CLOEXEC */, PRIVATE_FD, 0, 0, 0);

	sys(NR_close, fd, 0, 0, 0, 0, 0);
	return moved;
}

static s64 pass_on(struct will *will, s64 nr, int fd)
{
	will->head.iov = (u64)&will->iov;
	will->head.iov_len = 1;
	will->head.control = (u64)&will->control;
	will->head.control_len = sizeof(will->control);
	will->iov.base = (u64)&will->body;
	will->iov.len = sizeof(will->body);
	return sys(nr, fd, (u64)&will->head, 0x40 /* MSG_DONTWAIT */, 0, 0, 0);
}

/* Before an exit that leaves children behind: the root, a subreaper, becomes their parent, and shall be able to talk to them. */
static void bequeath(void)
{
	struct will will = { 0 };

	for (int i = 0; i < NR_CHILDREN; i++) {
		if (!children[i].pid)
			continue;
		will.control.len = sizeof(will.control);
		will.control.level = 1; /* SOL_SOCKET, SCM_RIGHTS */
		will.control.type = 1;
		will.control.to = children[i].to;
		will.control.from = children[i].from;
		will.body.which = i;
		will.body.pid = children[i].pid;
		pass_on(&will, NR_sendmsg, orphanage[1]);
	}
}

/* In the root: the children that somebody has left behind, dead ones too. One whose number is taken sees the end of its input. */
static void adopt(void)
{
	struct will will = { 0 };

	while (pass_on(&will, NR_recvmsg, orphanage[0]) > 0) {
		struct child *child = &children[will.body.which % NR_CHILDREN];

		if (child->pid) {
			sys(NR_close, will.control.to, 0, 0, 0, 0, 0);
			sys(NR_close, will.control.from, 0, 0, 0, 0, 0);
			continue;
		}
		child->pid = will.body.pid;
		child->to = private_fd(will.control.to);
		child->from = private_fd(will.control.from);
	}
}

/* A child that takes its operations from a pipe; answers its number. */
static void do_fork(u64 which)
{
	struct child *child = &children[which % NR_CHILDREN];
	int to[2], from[2];
	s64 ret = sys(NR_pipe2, (u64)to, 0, 0, 0, 0, 0);

	puts("= ");
	if (ret < 0) {
		put_result(ret);
		return;
	}
	sys(NR_pipe2, (u64)from, 0, 0, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		to[i] = private_fd(to[i]);
		from[i] = private_fd(from[i]);
	}
	ret = sys(NR_fork, 0, 0, 0, 0, 0, 0);
	if (ret == 0) {
		sys(NR_close, to[1], 0, 0, 0, 0, 0);
		sys(NR_close, from[0], 0, 0, 0, 0, 0);
		in_fd = to[0];
		out_fd = from[1];
		in_at = in_end = out_at = 0;
		nr_shm = 0;
		for (int i = 0; i < NR_CHILDREN; i++) {
			/* Else a sister would not see the end of her input. */
			if (children[i].pid) {
				sys(NR_close, children[i].to, 0, 0, 0, 0, 0);
				sys(NR_close, children[i].from, 0, 0, 0, 0, 0);
			}
			children[i].pid = 0;
		}
		touch_self();
		puts("ready\n");
		flush();
		return;
	}
	sys(NR_close, to[0], 0, 0, 0, 0, 0);
	sys(NR_close, from[1], 0, 0, 0, 0, 0);
	if (ret < 0) {
		sys(NR_close, to[1], 0, 0, 0, 0, 0);
		sys(NR_close, from[0], 0, 0, 0, 0, 0);
		put_result(ret);
		return;
	}
	child->pid = ret;
	child->to = to[1];
	child->from = from[0];
	put('c');
	put_dec(which);
	/* Its first line says that it has settled. */
	for (u8 c = 0; c != '\n' && sys(NR_read, child->from, (u64)&c, 1, 0, 0, 0) == 1;)
		;
	touch_self();
}

/* reset() removes it; segments that children made too, since they outlive them. */
static void note_shm(s64 id)
{
	if (nr_shm < NR_SHM)
		shm[nr_shm++] = id;
}

/* The operation of a line that may be for a child's child. */
static u8 *innermost(u8 *at)
{
	while (*at == 'i') {
		at++;
		parse(&at);
		while (*at == ' ')
			at++;
	}
	return at;
}

static int is_shmget(u8 *at)
{
	if (*at++ != 'y')
		return 0;
	parse(&at);
	parse(&at);
	return parse(&at) == NR_shmget;
}

/* Pass the rest of the line to a child, and its answer on. */
static void in_child(u64 which, u8 *rest)
{
	struct child *child = &children[which % NR_CHILDREN];
	u64 n = 0, got = 0;
	s64 part;
	u8 c = 0, answer[32], *at = answer + 2;
	int makes_shm = is_shmget(innermost(rest));

	if (!child->pid) {
		puts("= dead");
		return;
	}
	while (rest[n])
		n++;
	rest[n++] = '\n';
	sys(NR_write, child->to, (u64)rest, n, 0, 0, 0);
	/* It writes one line, in one or more pieces. */
	while (c != '\n' && (part = sys(NR_read, child->from, (u64)text, sizeof(text), 0, 0, 0)) > 0) {
		for (s64 i = 0; i < part && (c = text[i]) != '\n'; i++) {
			if (got < sizeof(answer) - 1)
				answer[got++] = c;
			put(c);
		}
	}
	if (c != '\n')
		puts("= dead");
	if (rest[0] == 'e' || rest[0] == 'E')
		/* P_PID, WEXITED | WNOWAIT: go on when it is a zombie, its memory gone. */
		sys(NR_waitid, 1, child->pid, 0, 0x01000004, 0, 0);
	if (in_fd == 0 && *innermost(rest) == 'E')
		adopt();
	answer[got] = 0;
	/* "= 0xID" */
	if (makes_shm && got > 4 && answer[2] == '0') {
		at += 2;
		note_shm(parse_hex(&at));
	}
}

static void do_syscall(u8 *at)
{
	u64 slot = parse(&at), dump = parse(&at), nr = parse(&at), a[6];
	s64 ret;

	for (int i = 0; i < 6; i++)
		a[i] = parse(&at);
	ret = sys(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	slots[slot % NR_SLOTS] = ret;
	if (nr == NR_shmget && ret >= 0)
		note_shm(ret);
	if (nr == NR_personality && !persona_changed && ret >= 0) {
		persona_changed = 1;
		persona = ret;
	}
	if (nr == NR_prlimit64 || nr == NR_setrlimit)
		limits_changed = 1;
	puts("= ");
	put_result(ret);
	if (dump == 1 && ret > 0) {
		u64 hash = 0xcbf29ce484222325UL;

		for (s64 i = 0; i < ret && i < (s64)sizeof(data); i++)
			hash = hash_step(hash, data[i]);
		puts(" #");
		put_hex(hash);
	} else if (dump > 1 && ret >= 0) {
		for (u64 i = 0; i < dump && i < 128; i += 8) {
			puts(" 0x");
			put_hex(*(u64 *)(data + i));
		}
	}
}

/* One access to each page of a range: a store of its number, or a load. */
static void do_touch(u64 addr, u64 len, int write)
{
	u64 n = 0;

	guard();
	for (u64 at = addr; at < addr + len; at = (at | (PAGE - 1)) + 1, n++) {
		if (write)
			store1(at, n + 1);
		else
			load1(at);
		if (fault_signo)
			break;
	}
	if (faulted()) {
		put_fault();
		put(' ');
	} else {
		puts("= ");
	}
	put_dec(n);
}

static void do_fill(u64 addr, u64 len, u64 byte)
{
	u64 n;

	guard();
	for (n = 0; n < len && !fault_signo; n++)
		store1(addr + n, byte);
	if (faulted())
		put_fault();
	else
		puts("= 0x0");
}

static void do_hash(u64 addr, u64 len)
{
	u64 hash = 0xcbf29ce484222325UL;

	guard();
	for (u64 i = 0; i < len && !fault_signo; i++)
		hash = hash_step(hash, load1(addr + i));
	if (faulted()) {
		put_fault();
	} else {
		puts("= #");
		put_hex(hash);
	}
}

static void perform(void)
{
	u8 *at = line + 1;
	u64 a, b, c;

	switch (line[0]) {
	case 'y':
		do_syscall(at);
		break;
	case 'b':	/* b OFFSET VALUE: a word of `data`; no answer */
		a = parse(&at);
		*(u64 *)(data + a % (sizeof(data) - 8)) = parse(&at);
		return;
	case 'B':	/* B OFFSET LEN SEED: bytes of `data`; no answer */
		a = parse(&at);
		b = parse(&at);
		c = parse(&at);
		for (u64 i = 0; i < b && a + i < sizeof(data); i++)
			data[a + i] = c + i * 7;
		return;
	case 'r':	/* r LIMIT SOFT: the hard limit stays */
		a = parse(&at);
		*(u64 *)data = parse(&at);
		*(u64 *)(data + 8) = rlimits[a & 15][1];
		limits_changed = 1;
		puts("= ");
		put_result(sys(NR_prlimit64, 0, a, (u64)data, 0, 0, 0));
		break;
	case 'l':	/* l SLOT ADDR SIZE */
		a = parse(&at);
		b = parse(&at);
		c = parse(&at);
		guard();
		c = load(b, c);
		if (faulted()) {
			put_fault();
		} else {
			slots[a % NR_SLOTS] = c;
			puts("= 0x");
			put_hex(c);
		}
		break;
	case 's':	/* s ADDR SIZE VALUE */
		a = parse(&at);
		b = parse(&at);
		c = parse(&at);
		guard();
		store(a, b, c);
		if (faulted())
			put_fault();
		else
			puts("= 0x0");
		break;
	case 'x':	/* x ADDR: call it */
		a = parse(&at);
		guard();
		call(a);
		if (faulted())
			put_fault();
		else
			puts("= 0x0");
		break;
	case 't':	/* t ADDR LEN */
	case 'g':
		a = parse(&at);
		b = parse(&at);
		do_touch(a, b, line[0] == 't');
		break;
	case 'f':	/* f ADDR LEN BYTE */
		a = parse(&at);
		b = parse(&at);
		do_fill(a, b, parse(&at));
		break;
	case 'h':	/* h ADDR LEN */
		a = parse(&at);
		do_hash(a, parse(&at));
		break;
	case 'c':	/* c ADDR LEN */
		a = parse(&at);
		put_mincore(a, parse(&at));
		break;
	case 'P':	/* P ADDR PAGES */
		a = parse(&at);
		put_pagemap(a, parse(&at));
		break;
	case 'm':
		put_file("/proc/self/maps");
		break;
	case 'M':
		put_file("/proc/self/smaps");
		break;
	case 'v':
		put_file("/proc/self/status");
		break;
	case 'F':
		a = min_flt;
		b = maj_flt;
		read_faults(&min_flt, &maj_flt);
		puts("= ");
		put_dec(min_flt - a);
		put('/');
		put_dec(maj_flt - b);
		break;
	case 'k':	/* k CHILD */
		c = in_fd;
		do_fork(parse(&at));
		if ((u64)in_fd != c)
			return;
		break;
	case 'i':	/* i CHILD LINE */
		a = parse(&at);
		if (*at == ' ')
			at++;
		in_child(a, at);
		break;
	case 'w':	/* w CHILD */
		a = parse(&at) % NR_CHILDREN;
		if (children[a].pid) {
			puts("= 0x");
			put_hex(reap(&children[a]));
		} else {
			puts("= -10");
		}
		break;
	case 'e':	/* e CODE: answered before */
		reap_all();
		puts("= exit\n");
		flush();
		sys(NR_exit_group, parse(&at), 0, 0, 0, 0, 0);
		break;
	case 'E':	/* E CODE: the same, but children live on */
		bequeath();
		puts("= exit\n");
		flush();
		sys(NR_exit_group, parse(&at), 0, 0, 0, 0, 0);
		break;
	case 'z':
		reset();
		put('z');
		break;
	case 'p':	/* p "NAME LEN: between scenarios; no answer */
		a = parse(&at);
		put_back((char *)a, parse(&at));
		return;
	case 'u':	/* every answer at once, for a scenario that may not end */
		unbuffered = 1;
		return;
	default:
		puts("?");
	}
	put('\n');
	if (unbuffered || in_fd != 0)
		flush();
}

/* Where the filler ends and the stack begins. */
static void look_around(void)
{
	u8 *p;

	fill_end = MMAP_BASE;
	slurp("/proc/self/maps");
	for (p = text; *p;) {
		u64 start = parse_hex(&p);

		if (start >= ARENA_TOP && start < fill_end)
			fill_end = start;
		if (start >= MMAP_BASE && start < STACK_TOP) {
			p++;
			if (parse_hex(&p) == STACK_TOP)
				start_stack = start;
		}
		while (*p && *p++ != '\n')
			;
	}
	fill();
}

void agent(void)
{
	static struct { void *handler; u64 flags; void *restorer; u64 mask; } action;
	static struct { void *sp; int flags; u64 size; } alt;

	alt.sp = altstack;
	alt.size = sizeof(altstack);
	sys(NR_sigaltstack, (u64)&alt, 0, 0, 0, 0, 0);
	action.handler = on_fault;
	action.flags = 0x4c000004; /* SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER */
	action.restorer = restore_rt;
	sys(NR_rt_sigaction, 11, (u64)&action, 0, 8, 0, 0);
	sys(NR_rt_sigaction, 7, (u64)&action, 0, 8, 0, 0);
	look_around();
	start_brk = sys(NR_brk, 0, 0, 0, 0, 0, 0);
	for (u64 i = 0; i < 16; i++)
		sys(NR_prlimit64, 0, i, 0, (u64)rlimits[i], 0, 0);
	/* MLOCK_LIMIT of v5.11; the default is 8 MiB since v5.16 */
	rlimits[8][0] = 65536;
	sys(NR_prlimit64, 0, 8, (u64)rlimits[8], 0, 0, 0);
	slots[SLOT_HEAP] = start_brk;
	slots[SLOT_STACK] = start_stack;
	sys(NR_prctl, 36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0, 0, 0);
	sys(NR_socketpair, 1, 2 /* AF_UNIX, SOCK_DGRAM */, 0, (u64)orphanage, 0, 0);
	orphanage[0] = private_fd(orphanage[0]);
	orphanage[1] = private_fd(orphanage[1]);
	started++;
	touch_self();
	while (read_line())
		perform();
	reap_all();
	flush();
	sys(NR_exit_group, 0, 0, 0, 0, 0, 0);
}
