// SPDX-License-Identifier: GPL-2.0-or-later
/* Process 1 of a guest that records call graphs: runs each scenario with the function tracer on, prints what it saw, powers off.
 * With a file /states it does not trace, but prints the page-table entry and the struct page after each fault, as read from
 * /proc/kcore of a 5.10.0-30-cloud-amd64. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PG 4096UL
#define TRACING "/sys/kernel/tracing/"
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static char buffer[1 << 18];
static volatile char sink;
static int tracing_on, states;

static void put(const char *text, size_t n)
{
	while (n) {
		ssize_t done = write(1, text, n);

		if (done <= 0)
			return;
		text += done;
		n -= done;
	}
}

static void say(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	put(line, vsnprintf(line, sizeof(line), format, args));
	va_end(args);
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	say("@@FAILED %s: %s\n", what, strerror(errno));
	reboot(RB_POWER_OFF);
}

static void copy(const char *path)
{
	int fd = open(path, O_RDONLY);
	ssize_t n;

	must(fd >= 0, path);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		put(buffer, n);
	close(fd);
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	must(fd >= 0 && write(fd, value, strlen(value)) >= 0, path);
	close(fd);
}

static void begin(const char *name)
{
	if (states)
		return;
	say("@@BEGIN %s\n", name);
	set(TRACING "trace", "");
	write(tracing_on, "1", 1);
}

static void end(void)
{
	if (states)
		return;
	write(tracing_on, "0", 1);
	copy(TRACING "trace");
	say("@@END\n");
}

#define SCENARIO(name, what) do { begin(name); what; end(); } while (0)

/* Offsets of that kernel's structures; it runs without KASLR. */
#define TASK_TASKS 0x7b8
#define TASK_MM 0x808
#define TASK_PID 0x8b8
#define MM_PGD 0x50
#define PAGE_MAPPING 0x18
#define PAGE_INDEX 0x20
#define PAGE_MAPCOUNT 0x30
#define MAPPING_XA_HEAD 0x10
#define NODE_SLOTS 0x28
#define NODE_MARKS 0x228
#define DIRECT_MAP 0xffff888000000000UL
#define VMEMMAP 0xffffea0000000000UL
#define PFN(entry) ((entry) >> 12 & 0xffffffffffUL)

static int kcore;
static Elf64_Phdr segments[64];
static int nr_segments;
static unsigned long pgd;

static unsigned long kernel_word(unsigned long address)
{
	unsigned long word = 0;

	for (int i = 0; i < nr_segments; i++) {
		Elf64_Phdr *s = &segments[i];

		if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_memsz) {
			must(pread(kcore, &word, 8, s->p_offset + address - s->p_vaddr) == 8, "kcore");
			return word;
		}
	}
	must(0, "an address that kcore has not");
	return 0;
}

/* Find this process's page tables: init_task, the list of tasks, number 1. */
static void open_kcore(void)
{
	Elf64_Ehdr head;
	unsigned long task = 0;
	char line[256], name[128];
	FILE *symbols = fopen("/proc/kallsyms", "r");

	must(symbols != 0, "kallsyms");
	while (fgets(line, sizeof(line), symbols))
		if (sscanf(line, "%lx %*c %127s", &task, name) == 2 && !strcmp(name, "init_task"))
			break;
	fclose(symbols);
	kcore = open("/proc/kcore", O_RDONLY);
	must(kcore >= 0 && read(kcore, &head, sizeof(head)) == sizeof(head) && head.e_phnum <= 64, "kcore");
	nr_segments = head.e_phnum;
	must(pread(kcore, segments, sizeof(segments[0]) * nr_segments, head.e_phoff) > 0, "kcore");
	do
		task = kernel_word(task + TASK_TASKS) - TASK_TASKS;
	while ((int)kernel_word(task + TASK_PID) != 1);
	pgd = kernel_word(kernel_word(task + TASK_MM) + MM_PGD);
}

/* XA_MARK_0 to 2 of a page in its mapping. */
static unsigned int marks_of(unsigned long mapping, unsigned long index)
{
	unsigned long entry = kernel_word(mapping + MAPPING_XA_HEAD), node, offset;
	unsigned int marks = 0;

	while ((entry & 3) == 2 && entry > 4096) {
		node = entry - 2;
		offset = index >> (kernel_word(node) & 0xff) & 63;
		if ((kernel_word(node) & 0xff) == 0)
			for (int mark = 0; mark < 3; mark++)
				marks |= (kernel_word(node + NODE_MARKS + 8 * mark) >> offset & 1) << mark;
		entry = kernel_word(node + NODE_SLOTS + 8 * offset);
	}
	return marks;
}

static void state(const char *name, volatile char *p)
{
	unsigned long table = pgd, entry = 0, page, mapping;

	if (!states)
		return;
	/* unmap_region() drains the pagevecs. */
	munmap(mmap(0, PG, PROT_READ, ANON, -1, 0), PG);
	for (int shift = 39; shift >= 12; shift -= 9) {
		entry = kernel_word(table + ((unsigned long)p >> shift & 511) * 8);
		must(entry & 1, "a present entry");
		table = DIRECT_MAP + (PFN(entry) << 12);
	}
	page = VMEMMAP + PFN(entry) * 64;
	mapping = kernel_word(page + PAGE_MAPPING);
	say("@@STATE %s pte=%#lx flags=%#lx _refcount=%d _mapcount=%d tag=%lu index=%ld marks=%u\n", name,
	    entry & ~0xffffffffff000UL, kernel_word(page) & 0xffffff, (int)(kernel_word(page + PAGE_MAPCOUNT) >> 32),
	    (int)kernel_word(page + PAGE_MAPCOUNT), mapping & 3,
	    kernel_word(page + PAGE_INDEX), mapping && !(mapping & 3) ? marks_of(mapping, kernel_word(page + PAGE_INDEX)) : 0);
}

#define FAULT(name, access, p) do { SCENARIO(name, access(p)); state(name, p); } while (0)

static volatile char *map(unsigned long pages, int prot, int flags, int fd)
{
	void *p = mmap(0, pages * PG, prot, flags, fd, 0);

	must(p != MAP_FAILED, "mmap");
	return p;
}

static void store(volatile char *p)
{
	*p = 1;
}

static void load(volatile char *p)
{
	sink = *p;
}

static void warm(const char *path)
{
	int fd = open(path, O_RDONLY);

	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
	close(fd);
}

static void cold(const char *path)
{
	int fd = open(path, O_RDONLY);

	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	/* Dirty pages stay, tmpfs's among them, but get PG_reclaim: faults around leave them out from then on. */
	set("/proc/sys/vm/drop_caches", "3");
}

static void faults(void)
{
	int data = open("/mnt/data", O_RDWR), first = open("/mnt/cold", O_RDONLY);
	int shm = open("/shm/file", O_RDWR | O_CREAT, 0600), other = open("/shm/other", O_RDWR | O_CREAT, 0600);
	volatile char *a, *c;

	must(data >= 0 && first >= 0 && shm >= 0 && other >= 0, "open");
	memset(buffer, 1, 64 * PG);
	must(pwrite(shm, buffer, 64 * PG, 0) == 64 * PG, "pwrite");
	warm("/mnt/data");

	a = map(64, RW, ANON, -1);
	FAULT("a_anon_write_first", store, a);
	FAULT("a_anon_write_second", store, a + PG);
	c = mmap((void *)0x200000000000UL, 4 * PG, RW, ANON | MAP_FIXED, -1, 0);
	FAULT("a_anon_write_newpgtables", store, c);
	FAULT("b_anon_read_zeropage", load, a + 4 * PG);
	FAULT("b_anon_read_then_write", store, a + 4 * PG);
	c = map(8, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	FAULT("c_anon_shared_write", store, c);
	FAULT("c_anon_shared_read", load, c + PG);
	FAULT("c_anon_shared_read_then_write", store, c + PG);

	cold("/mnt/cold");
	c = map(64, PROT_READ, MAP_PRIVATE, first);
	FAULT("d_file_private_read_cold_extents", load, c);
	/* The marker that the read-around left on page 24 starts the next window. */
	a = mmap((void *)0x10000000UL, 64 * PG, PROT_READ, MAP_PRIVATE | MAP_FIXED, first, 0);
	load(a + 16 * PG);
	FAULT("d_file_private_read_marker", load, a + 24 * PG);
	warm("/mnt/cold");
	warm("/mnt/data");
	FAULT("d_file_private_read_warm", load, c + 40 * PG);
	FAULT("d_file_private_read_faultaround_hit", load, c + 41 * PG);
	c = map(64, RW, MAP_PRIVATE, data);
	FAULT("e_file_private_write_cow", store, c + 3 * PG);
	FAULT("f_file_private_read", load, c + 20 * PG);
	FAULT("f_file_private_read_then_write", store, c + 20 * PG);

	c = map(64, RW, MAP_SHARED, data);
	FAULT("g_file_shared_write_ext4_journal", store, c + 2 * PG);
	FAULT("h_file_shared_read_ext4", load, c + 34 * PG);
	FAULT("h_file_shared_read_then_write_ext4", store, c + 34 * PG);
	fsync(data);
	FAULT("h_file_shared_write_after_fsync_ext4", store, c + 34 * PG);
	c = map(64, RW, MAP_SHARED, shm);
	FAULT("g_file_shared_write_tmpfs", store, c + 2 * PG);
	FAULT("h_file_shared_read_tmpfs", load, c + 34 * PG);
	FAULT("h_file_shared_read_then_write_tmpfs", store, c + 34 * PG);
	must(pwrite(other, buffer, 64 * PG, 0) == 64 * PG, "pwrite");
	c = map(64, RW, MAP_SHARED, other);
	FAULT("h_file_shared_read_around_tmpfs", load, c + 34 * PG);

	SCENARIO("k_mmap_populate", a = mmap(0, 4 * PG, RW, ANON | MAP_POPULATE, -1, 0));
	state("k_mmap_populate", a);
	SCENARIO("k_mmap_populate_file", a = mmap(0, 4 * PG, PROT_READ, MAP_PRIVATE | MAP_POPULATE, data, 0));
	state("k_mmap_populate_file", a);
	SCENARIO("k_mmap_populate_file_private_writable", a = mmap(0, 4 * PG, RW, MAP_PRIVATE | MAP_POPULATE, data, 0));
	state("k_mmap_populate_file_private_writable", a);
	a = __builtin_frame_address(0);
	FAULT("m_stack_growth", store, a - 40 * PG);
	SCENARIO("j_mmap_file_shared", mmap(0, 4 * PG, RW, MAP_SHARED, data, 0));

	a = map(16, RW, ANON | MAP_NORESERVE, -1);
	for (int i = 0; i < 16; i++)
		store(a + i * PG);
	SCENARIO("j_munmap_head", munmap((void *)a, PG));
	mprotect((void *)(a + 2 * PG), PG, PROT_READ);
	SCENARIO("l_mprotect_merge_back", mprotect((void *)(a + 2 * PG), PG, RW));
	SCENARIO("l_mremap_grow_move", mremap((void *)(a + PG), 3 * PG, 8 * PG, MREMAP_MAYMOVE));
}

int main(void)
{
	static const char *const options[] = { "context-info", "irq-info", "sym-offset", "sym-addr", 0 };
	char text[128];
	struct termios t;

	mkdir("/sys", 0755);
	mkdir("/mnt", 0755);
	mkdir("/shm", 0755);
	mount("proc", "/proc", "proc", 0, 0);
	mount("sys", "/sys", "sysfs", 0, 0);
	mount("dev", "/dev", "devtmpfs", 0, 0);
	if (!tcgetattr(0, &t)) {
		cfmakeraw(&t);
		tcsetattr(0, TCSANOW, &t);
	}
	must(!mount("tmpfs", "/shm", "tmpfs", 0, 0), "tmpfs");
	must(!mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, 0), "tracefs");
	must(!mount("/dev/nvme0n1", "/mnt", "ext4", MS_NOATIME, ""), "ext4");
	say("\n@@KERNEL ");
	copy("/proc/version");

	set("/sys/kernel/mm/transparent_hugepage/enabled", "never");
	set(TRACING "tracing_on", "0");
	set(TRACING "buffer_size_kb", "16384");
	snprintf(text, sizeof(text), "%d", getpid());
	set(TRACING "set_ftrace_pid", text);
	set(TRACING "current_tracer", "function");
	for (int i = 0; options[i]; i++) {
		snprintf(text, sizeof(text), TRACING "options/%s", options[i]);
		set(text, i < 2 ? "0" : "1");
	}
	states = !access("/states", F_OK);
	if (states)
		open_kcore();
	tracing_on = open(TRACING "tracing_on", O_WRONLY);
	/* The file is not cached, the recorder's own first faults are over. */
	write(tracing_on, "1", 1);
	write(tracing_on, "0", 1);
	faults();
	say("@@DONE\n");
	reboot(RB_POWER_OFF);
}
