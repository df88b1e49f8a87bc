// sigaction's flags, order of delivery, queued values, timers, the alternate stack, handlers that change registers.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <errno.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <ucontext.h>
static volatile int depth, maxdepth, count, order[20], k;
static sigjmp_buf sj;
static void nest(int s) {
  if (++depth > maxdepth) maxdepth = depth;
  if (count++ < 3) raise(s);
  depth--;
}
static void ord(int s) {
  if (k < 20) order[k++] = s;
}
static void info(int s, siginfo_t *i, void *u) {
  printf("sig %d code %d val %d pid %d\n", s, i->si_code, i->si_code < 0 && i->si_code != -6 ? i->si_value.sival_int : 0,
         i->si_code == SI_KERNEL || i->si_pid == getpid());
}
static void fault(int s, siginfo_t *i, void *u) {
  ucontext_t *c = u;
  char here;
  stack_t ss;
  sigaltstack(0, &ss);
  printf("fault %d %d on %d alt %d err %lld trap %lld\n", s, i->si_code, (ss.ss_flags & SS_ONSTACK) != 0,
         (char *)&here >= (char *)ss.ss_sp && (char *)&here < (char *)ss.ss_sp + ss.ss_size,
         (long long)c->uc_mcontext.gregs[REG_ERR], (long long)c->uc_mcontext.gregs[REG_TRAPNO]);
  siglongjmp(sj, 1);
}
static int over(int n) {
  volatile char b[1000];
  b[0] = n;
  return over(n + 1) + b[0];
}
static void skip(int s, siginfo_t *i, void *u) {
  ((ucontext_t *)u)->uc_mcontext.gregs[REG_RIP] += 2;
  ((ucontext_t *)u)->uc_mcontext.gregs[REG_RBX] = 77;
}
static void soon(void) {
  struct itimerval i = {{0, 0}, {0, 20000}};
  setitimer(ITIMER_REAL, &i, 0);
}
int main(void) {
  setvbuf(stdout, 0, _IOLBF, 0);
  struct sigaction a = {0};
  sigset_t m, o;
  a.sa_handler = nest;
  sigaction(SIGUSR1, &a, 0);
  raise(SIGUSR1);
  printf("no nodefer %d %d\n", count, maxdepth);
  count = depth = maxdepth = 0;
  a.sa_flags = SA_NODEFER;
  sigaction(SIGUSR1, &a, 0);
  raise(SIGUSR1);
  printf("nodefer %d %d\n", count, maxdepth);
  a.sa_handler = ord;
  a.sa_flags = SA_RESETHAND;
  sigaction(SIGUSR1, &a, 0);
  raise(SIGUSR1);
  struct sigaction q;
  sigaction(SIGUSR1, 0, &q);
  printf("reset %d\n", q.sa_handler == SIG_DFL);
  a.sa_flags = 0;
  int sigs[] = {SIGUSR2, SIGUSR1, SIGRTMIN + 3, SIGHUP, SIGRTMIN, SIGTERM};
  sigemptyset(&m);
  for (int i = 0; i < 6; i++) {
    sigaction(sigs[i], &a, 0);
    sigaddset(&m, sigs[i]);
  }
  sigprocmask(SIG_BLOCK, &m, &o);
  k = 0;
  for (int i = 0; i < 6; i++) {
    raise(sigs[i]);
    raise(sigs[i]);
    kill(getpid(), sigs[i]);
  }
  sigset_t p;
  sigpending(&p);
  printf("pending %d %d\n", sigismember(&p, SIGHUP), sigismember(&p, SIGINT));
  sigprocmask(SIG_SETMASK, &o, 0);
  for (int i = 0; i < k; i++) printf("%d ", order[i]);
  puts("");
  a.sa_sigaction = info;
  a.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &a, 0);
  sigaction(SIGRTMIN + 1, &a, 0);
  sigaction(SIGALRM, &a, 0);
  raise(SIGUSR1);
  kill(getpid(), SIGUSR1);
  sigqueue(getpid(), SIGRTMIN + 1, (union sigval){42});
  sigqueue(getpid(), SIGUSR1, (union sigval){43});
  sigemptyset(&m);
  sigaddset(&m, SIGRTMIN + 2);
  sigprocmask(SIG_BLOCK, &m, 0);
  for (int i = 0; i < 3; i++) sigqueue(getpid(), SIGRTMIN + 2, (union sigval){i});
  siginfo_t si;
  for (int i = 0; i < 3; i++) {
    int r = sigwaitinfo(&m, &si);
    printf("wait %d %d\n", r == SIGRTMIN + 2, si.si_value.sival_int);
  }
  struct timespec t = {0, 1000000};
  errno = 0;
  printf("%d %d\n", sigtimedwait(&m, &si, &t), errno);
  struct itimerval it = {{0, 0}, {0, 2000}};
  sigemptyset(&m);
  sigaddset(&m, SIGALRM);
  sigprocmask(SIG_BLOCK, &m, &o);
  setitimer(ITIMER_REAL, &it, 0);
  sigemptyset(&p);
  errno = 0;
  printf("%d %d\n", sigsuspend(&p), errno);
  sigprocmask(SIG_SETMASK, &o, 0);
  soon();
  errno = 0;
  struct timespec l = {100, 0}, rem = {0, 0};
  int r = nanosleep(&l, &rem);
  printf("nanosleep %d %d %d\n", r, errno == EINTR, rem.tv_sec >= 98);
  soon();
  errno = 0;
  printf("pause %d %d\n", pause(), errno);
  soon();
  errno = 0;
  printf("sleep %d\n", sleep(50) >= 48);
  stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536}, os;
  sigaltstack(&ss, 0);
  a.sa_sigaction = fault;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &a, 0);
  sigaction(SIGBUS, &a, 0);
  if (!sigsetjmp(sj, 1)) over(0);
  if (!sigsetjmp(sj, 1)) *(volatile int *)0 = 1;
  if (!sigsetjmp(sj, 1)) *(volatile char *)main = 1;
  if (!sigsetjmp(sj, 1)) (void)*(volatile char *)0x1234000000000000;
  char *ro = mmap(0, 4096, PROT_NONE, 34, -1, 0);
  if (!sigsetjmp(sj, 1)) (void)*(volatile char *)ro;
  if (!sigsetjmp(sj, 1)) ((void (*)(void))(mmap(0, 4096, 3, 34, -1, 0)))();
  ss.ss_size = 100;
  errno = 0;
  printf("%d %d\n", sigaltstack(&ss, 0), errno);
  ss.ss_flags = 99;
  errno = 0;
  printf("%d %d\n", sigaltstack(&ss, 0), errno);
  ss.ss_flags = SS_DISABLE;
  printf("%d\n", sigaltstack(&ss, &os));
  sigaltstack(0, &os);
  printf("%d\n", os.ss_flags);
  a.sa_sigaction = skip;
  a.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &a, 0);
  long b;
  asm volatile("xor %%ebx,%%ebx; ud2; mov %%rbx,%0" : "=r"(b)::"rbx");
  printf("skipped %ld\n", b);
  errno = 0;
  printf("%d %d\n", sigaction(SIGKILL, &a, 0), errno);
  errno = 0;
  printf("%ld %d\n", syscall(SYS_rt_sigaction, 65, 0, 0, 8), errno);
  errno = 0;
  printf("%ld %d\n", syscall(SYS_rt_sigaction, 1, 0, 0, 7), errno);
  errno = 0;
  printf("%d %d\n", kill(999999, 0), errno);
  errno = 0;
  printf("%d %d\n", kill(getpid(), 99), errno);
  errno = 0;
  printf("%d\n", kill(getpid(), 0));
  errno = 0;
  printf("%ld %d\n", syscall(SYS_rt_sigprocmask, 9, &m, 0, 8), errno);
  errno = 0;
  printf("%ld %d\n", syscall(SYS_tgkill, getpid(), 0, 1), errno);
  signal(SIGCHLD, SIG_DFL);
  raise(SIGCHLD);
  raise(SIGURG);
  raise(SIGWINCH);
  raise(SIGCONT);
  signal(SIGTERM, SIG_IGN);
  raise(SIGTERM);
  it.it_value.tv_usec = 1000;
  it.it_interval.tv_usec = 1000;
  a.sa_handler = ord;
  a.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &a, 0);
  k = 0;
  setitimer(ITIMER_REAL, &it, 0);
  while (k < 5) usleep(100);
  memset(&it, 0, sizeof it);
  setitimer(ITIMER_REAL, &it, 0);
  printf("ticks %d\n", k >= 5);
  signal(SIGABRT, SIG_IGN);
  puts("abort");
  fflush(stdout);
  abort();
}
