// SPDX-License-Identifier: GPL-2.0-or-later
/* nprocexec UID: as root, set*uid to a user who has as many processes as RLIMIT_NPROC allows, or more, then execve. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static uid_t uid;
static int go[2];

static void become(int how)
{
	int ret = how == 0 ? setuid(uid) : how == 1 ? setreuid(uid, uid) : how == 2 ? setresuid(uid, uid, uid) : setresuid(-1, uid, -1);
	if (ret)
		printf("set*uid %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
	char c;
	if (argc == 1) {
		printf("executed\n");
		return 0;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	uid = atoi(argv[1]);
	for (int sleepers = 1; sleepers <= 4; sleepers++) {
		pipe(go);
		int ready[2];
		pipe(ready);
		for (int i = 0; i < sleepers; i++)
			if (!fork()) {
				setuid(uid);
				write(ready[1], "x", 1);
				close(go[1]);
				read(go[0], &c, 1);
				_exit(0);
			}
		for (int i = 0; i < sleepers; i++)
			read(ready[0], &c, 1);
		for (int how = 0; how < 4; how++) {
			for (int wait_first = 0; wait_first < 2; wait_first++) {
				printf("%d of 3 run, way %d%s: ", sleepers, how, wait_first ? ", limit raised" : "");
				pid_t pid = fork();
				if (!pid) {
					struct rlimit limit = {3, 10};
					setrlimit(RLIMIT_NPROC, &limit);
					become(how);
					limit.rlim_cur = 10;
					if (wait_first)
						setrlimit(RLIMIT_NPROC, &limit);
					execl("/proc/self/exe", "nprocexec", NULL);
					printf("%s", strerror(errno));
					/* A fork clears the mark; it is refused by itself, above the limit. */
					pid_t p = fork();
					if (!p)
						_exit(0);
					printf(", fork %s", p < 0 ? strerror(errno) : "ok");
					execl("/proc/self/exe", "nprocexec", NULL);
					printf(", again %s\n", strerror(errno));
					_exit(0);
				}
				waitpid(pid, NULL, 0);
			}
		}
		close(go[1]);
		while (wait(NULL) > 0);
	}
	return 0;
}
