/* cow PAGES: a tree of processes, all of them alive, of which each but the first writes PAGES pages of four kinds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, MOST = 128, CHILDREN = 3, GRANDCHILDREN = 2 };

static char *kinds[4];
static volatile char sink;
static int go[2], done[2];

/* The only instruction that writes to the four. */
static __attribute__((noinline)) void touch(volatile char *p)
{
	*p = 1;
}

static __attribute__((noinline)) long faults(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* Pages of the whole machine. */
static long anon_pages(void)
{
	static char text[8192];
	int fd = open("/proc/meminfo", O_RDONLY);
	text[read(fd, text, sizeof(text) - 1)] = 0;
	close(fd);
	return atol(strstr(text, "AnonPages:") + 10) / 4;
}

static void write_all(int pages)
{
	faults();
	long before = faults();
	for (int kind = 0; kind < 4; kind++)
		for (int i = 0; i < pages; i++)
			touch(kinds[kind] + i * PAGE);
	long took = faults() - before;
	write(done[1], &took, sizeof(took));
}

static void family(int pages, int depth)
{
	char byte;
	int members = depth ? GRANDCHILDREN : CHILDREN;
	for (int n = 0; n < members; n++) {
		if (fork())
			continue;
		write_all(pages);
		if (depth == 0)
			family(pages, 1);
		read(go[0], &byte, 1);
		while (wait(0) > 0)
			;
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	int pages = atoi(argv[1]), members = CHILDREN * (1 + GRANDCHILDREN);
	int exe = open(argv[2], O_RDONLY);
	for (int kind = 0; kind < 4; kind++)
		kinds[kind] = mmap(0, MOST * PAGE, PROT_READ | PROT_WRITE, kind < 2 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE,
				   kind < 2 ? -1 : exe, 0);
	/* Written; only read; of a file, read; of a file, not even read. */
	for (int i = 0; i < MOST; i++) {
		touch(kinds[0] + i * PAGE);
		sink = kinds[1][i * PAGE];
		sink = kinds[2][i * PAGE];
	}
	pipe(go);
	pipe(done);
	anon_pages();
	long before = anon_pages(), took, all = 0;
	family(pages, 0);
	for (int n = 0; n < members; n++) {
		read(done[0], &took, sizeof(took));
		all += took;
	}
	long growth = anon_pages() - before;
	for (int n = 0; n < members; n++)
		write(go[1], "x", 1);
	while (wait(0) > 0)
		;
	for (int i = 0; i < pages; i++)
		touch(kinds[0] + i * PAGE);
	printf("%ld %ld\n", all, growth);
	return 0;
}
