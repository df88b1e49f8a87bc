/* nproc LIMIT UID: how many children a user may have, all alive at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct rlimit limit = {atoi(argv[1]), atoi(argv[1])};
	int n = 0, st, go[2], sum = 0;
	char c;
	if (getuid() == 0 && (setgid(atoi(argv[2])) || setuid(atoi(argv[2]))))
		return 1;
	setrlimit(RLIMIT_NPROC, &limit);
	pipe(go);
	for (; n < 1000; n++) {
		pid_t p = fork();
		if (p < 0)
			break;
		if (!p) {
			close(go[1]);
			read(go[0], &c, 1);
			_exit(n % 7);
		}
	}
	int error = errno;
	close(go[1]);
	while (wait(&st) > 0) sum += WEXITSTATUS(st);
	printf("%d children, errno %d, sum %d, uid %d\n", n, error, sum, (int)getuid());
	return 0;
}
