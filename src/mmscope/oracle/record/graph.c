// SPDX-License-Identifier: GPL-2.0-or-later
/* Process 1 of a guest that records call graphs: runs each scenario with the function tracer on, prints what it saw, powers off. */
#define _GNU_SOURCE
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
static int tracing_on;

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
	say("@@BEGIN %s\n", name);
	set(TRACING "trace", "");
	write(tracing_on, "1", 1);
}

static void end(void)
{
	write(tracing_on, "0", 1);
	copy(TRACING "trace");
	say("@@END\n");
}

#define SCENARIO(name, what) do { begin(name); what; end(); } while (0)

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
	SCENARIO("a_anon_write_first", store(a));
	SCENARIO("a_anon_write_second", store(a + PG));
	c = mmap((void *)0x200000000000UL, 4 * PG, RW, ANON | MAP_FIXED, -1, 0);
	SCENARIO("a_anon_write_newpgtables", store(c));
	SCENARIO("b_anon_read_zeropage", load(a + 4 * PG));
	SCENARIO("b_anon_read_then_write", store(a + 4 * PG));
	c = map(8, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	SCENARIO("c_anon_shared_write", store(c));
	SCENARIO("c_anon_shared_read", load(c + PG));
	SCENARIO("c_anon_shared_read_then_write", store(c + PG));

	cold("/mnt/cold");
	c = map(64, PROT_READ, MAP_PRIVATE, first);
	SCENARIO("d_file_private_read_cold_extents", load(c));
	warm("/mnt/cold");
	warm("/mnt/data");
	SCENARIO("d_file_private_read_warm", load(c + 40 * PG));
	SCENARIO("d_file_private_read_faultaround_hit", load(c + 41 * PG));
	c = map(64, RW, MAP_PRIVATE, data);
	SCENARIO("e_file_private_write_cow", store(c + 3 * PG));
	SCENARIO("f_file_private_read", load(c + 20 * PG));
	SCENARIO("f_file_private_read_then_write", store(c + 20 * PG));

	c = map(64, RW, MAP_SHARED, data);
	SCENARIO("g_file_shared_write_ext4_journal", store(c + 2 * PG));
	SCENARIO("h_file_shared_read_ext4", load(c + 34 * PG));
	SCENARIO("h_file_shared_read_then_write_ext4", store(c + 34 * PG));
	fsync(data);
	SCENARIO("h_file_shared_write_after_fsync_ext4", store(c + 34 * PG));
	c = map(64, RW, MAP_SHARED, shm);
	SCENARIO("g_file_shared_write_tmpfs", store(c + 2 * PG));
	SCENARIO("h_file_shared_read_tmpfs", load(c + 34 * PG));
	SCENARIO("h_file_shared_read_then_write_tmpfs", store(c + 34 * PG));
	must(pwrite(other, buffer, 64 * PG, 0) == 64 * PG, "pwrite");
	c = map(64, RW, MAP_SHARED, other);
	SCENARIO("h_file_shared_read_around_tmpfs", load(c + 34 * PG));

	SCENARIO("k_mmap_populate", mmap(0, 4 * PG, RW, ANON | MAP_POPULATE, -1, 0));
	SCENARIO("k_mmap_populate_file", mmap(0, 4 * PG, PROT_READ, MAP_PRIVATE | MAP_POPULATE, data, 0));
	SCENARIO("k_mmap_populate_file_private_writable", mmap(0, 4 * PG, RW, MAP_PRIVATE | MAP_POPULATE, data, 0));
	a = __builtin_frame_address(0);
	SCENARIO("m_stack_growth", store(a - 40 * PG));
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
	tracing_on = open(TRACING "tracing_on", O_WRONLY);
	/* The file is not cached, the recorder's own first faults are over. */
	write(tracing_on, "1", 1);
	write(tracing_on, "0", 1);
	faults();
	say("@@DONE\n");
	reboot(RB_POWER_OFF);
}
