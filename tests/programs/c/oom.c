// SPDX-License-Identifier: GPL-2.0-or-later
/* oom ADJ:MIB...: a child for each, which sets its oom_score_adj and touches so much; the last one goes on for ever.
   Never run natively. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void adjust(const char *text)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	if (write(fd, text, strlen(text)) < 0)
		_exit(40 + errno);
	close(fd);
}

int main(int argc, char **argv)
{
	int ready[2], go[2], st, n = argc - 1;
	pid_t pids[16], pid;
	char c;
	setvbuf(stdout, NULL, _IONBF, 0);
	pipe(ready);
	pipe(go);
	adjust("-1000");
	for (int i = 0; i < n; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			char *colon = strchr(argv[i + 1], ':');
			long size = atol(colon + 1) << 20;
			*colon = 0;
			adjust(argv[i + 1]);
			char *p = mmap(NULL, 1L << 32, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			memset(p, 1, size);
			write(ready[1], "x", 1);
			if (i == n - 1) {
				/* By the kernel's hand: a read into fresh pages. */
				int zero = open("/dev/zero", O_RDONLY);
				for (long at = size; ; at += 1 << 18) {
					if (read(zero, p + at, 1 << 18) != 1 << 18)
						_exit(30);
					if (at - size > 48L << 20)
						_exit(20);
				}
			}
			close(go[1]);
			read(go[0], &c, 1);
			_exit(10 + i);
		}
		read(ready[0], &c, 1);
	}
	waitpid(pids[n - 1], &st, 0);
	printf("last: %s %d\n", WIFSIGNALED(st) ? "signal" : "exit", WIFSIGNALED(st) ? WTERMSIG(st) : WEXITSTATUS(st));
	close(go[1]);
	for (int i = 0; i < n - 1; i++) {
		waitpid(pids[i], &st, 0);
		printf("%d: %s %d\n", i, WIFSIGNALED(st) ? "signal" : "exit", WIFSIGNALED(st) ? WTERMSIG(st) : WEXITSTATUS(st));
	}
	return 0;
}
