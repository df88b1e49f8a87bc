// Timers on CPU time while a program computes and does not enter the kernel.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t hits, code, value;

static void handler(int sig, siginfo_t *info, void *context) {
  hits++;
  code = info->si_code;
  value = info->si_value.sival_int;
}

static void spin(int until) {
  while (hits < until)
    ;
}

static void *spinner(void *arg) {
  while (!*(volatile int *)arg)
    ;
  return 0;
}

static void interval(int which, int sig) {
  hits = 0;
  struct itimerval it = {{0, 10000}, {0, 20000}}, off = {{0, 0}, {0, 0}}, old;
  setitimer(which, &it, 0);
  spin(3);
  setitimer(which, &off, &old);
  printf("%d: %d %d %ld %ld\n", sig, hits >= 3, code == SI_KERNEL, (long)old.it_interval.tv_usec, (long)off.it_value.tv_usec);
}

static void timer(clockid_t clock, int flags) {
  hits = 0;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
  timer_t t;
  printf("create %d\n", timer_create(clock, &event, &t));
  struct itimerspec now, spec = {{0, 5000000}, {0, 10000000}};
  if (flags) {
    clock_gettime(clock, &spec.it_value);
    spec.it_value.tv_nsec += 10000000;
    if (spec.it_value.tv_nsec >= 1000000000)
      spec.it_value.tv_sec++, spec.it_value.tv_nsec -= 1000000000;
  }
  printf("set %d\n", timer_settime(t, flags, &spec, 0));
  timer_gettime(t, &now);
  printf("armed %d %ld\n", now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 10000000, now.it_interval.tv_nsec);
  spin(3);
  printf("delete %d, code %d, value %d\n", timer_delete(t), code, value);
}

// SIGXCPU at the soft limit, with a handler; SIGKILL at the hard one.
static void limit(int hard) {
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) {
    hits = 0;
    struct rlimit r = {1, hard};
    setrlimit(RLIMIT_CPU, &r);
    spin(1);
    getrlimit(RLIMIT_CPU, &r);
    _exit(code == SI_KERNEL && r.rlim_cur == 2 && r.rlim_max == 9 ? 5 : 6);
  }
  int status;
  waitpid(pid, &status, 0);
  printf("limit %d: %x\n", hard, status);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGVTALRM, &action, 0);
  sigaction(SIGPROF, &action, 0);
  sigaction(SIGUSR1, &action, 0);
  sigaction(SIGXCPU, &action, 0);
  interval(ITIMER_VIRTUAL, SIGVTALRM);
  interval(ITIMER_PROF, SIGPROF);
  timer(CLOCK_PROCESS_CPUTIME_ID, 0);
  timer(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME);
  timer(CLOCK_THREAD_CPUTIME_ID, 0);
  clockid_t clock;
  printf("clock of the parent %d\n", clock_getcpuclockid(getppid(), &clock));
  timer_t t;
  printf("of nobody %d", timer_create((~0x3ffffff << 3) | 2, 0, &t));
  printf(" %s\n", strerror(errno));
  struct timespec past = {0, 1}, little = {0, 20000000}, zero = {0, 0};
  printf("own %s\n", strerror(clock_nanosleep((~0 << 3) | 6, 0, &little, 0)));
  printf("thread clock %d\n", (int)syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &little, 0) == -1 && errno == EOPNOTSUPP);
  printf("past %d\n", clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &past, 0));
  int stop = 0;
  pthread_t thread;
  pthread_create(&thread, 0, spinner, &stop);
  printf("another thread's time %d %d\n", clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &little, 0), clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &zero, 0));
  stop = 1;
  pthread_join(thread, 0);
  limit(1);
  limit(9);
}
