// Executes itself three times: what survives execve, what it refuses, a large argv.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <signal.h>
#include <errno.h>
#include <sys/resource.h>
int main(int c, char **v) {
  int n = c > 1 ? atoi(v[1]) : 0;
  sigset_t m, p;
  printf("%d argc %d env %s\n", n, c, getenv("STEP") ? getenv("STEP") : "-");
  if (n == 0) {
    open("/dev/null", O_RDONLY | O_CLOEXEC);
    open("/dev/zero", O_RDONLY);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, (void (*)(int))main);
    sigemptyset(&m);
    sigaddset(&m, SIGHUP);
    sigprocmask(SIG_BLOCK, &m, 0);
    raise(SIGHUP);
    alarm(100);
    struct rlimit r = {1 << 20, RLIM_INFINITY};
    getrlimit(RLIMIT_STACK, &r);
    r.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_STACK, &r);
    malloc(1000000);
    char *none[] = {0};
    errno = 0;
    execve("/nonexistent", v, environ);
    printf("%d ", errno);
    execve("/etc/passwd", v, environ);
    printf("%d ", errno);
    execve("/etc", v, environ);
    printf("%d ", errno);
    execve(v[0], (char **)1, environ);
    printf("%d\n", errno);
  } else {
    struct sigaction a;
    sigaction(SIGUSR1, 0, &a);
    printf("%d ", a.sa_handler == SIG_IGN);
    sigaction(SIGUSR2, 0, &a);
    printf("%d ", a.sa_handler == SIG_DFL);
    sigprocmask(0, 0, &m);
    sigpending(&p);
    struct rlimit r;
    getrlimit(RLIMIT_STACK, &r);
    printf("%d %d %d %d %d %ld\n", sigismember(&m, SIGHUP), sigismember(&p, SIGHUP), fcntl(3, F_GETFD), fcntl(4, F_GETFD),
           alarm(100) > 90, (long)r.rlim_cur);
  }
  fflush(stdout);
  if (n < 3) {
    char num[9], step[20];
    sprintf(num, "%d", n + 1);
    sprintf(step, "STEP=%d", n);
    char *arg[] = {v[0], num, "x", 0}, *env[] = {step, 0};
    if (n == 2) {
      char **big = calloc(2003, 8);
      big[0] = v[0];
      big[1] = "3";
      for (int i = 2; i < 2001; i++) big[i] = "argument argument argument";
      execve("/proc/self/exe", big, env);
    }
    execve(v[0], arg, env);
    perror("execve");
  }
  return n + c % 100;
}
