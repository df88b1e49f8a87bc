// rlimits, prctl, arch_prctl, scheduling, capabilities, random numbers: results and errnos.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/sysinfo.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/random.h>
#include <sched.h>
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
#define E(x)                                                                                                                   \
  do {                                                                                                                         \
    errno = 0;                                                                                                                 \
    long r_ = (x);                                                                                                             \
    printf("%s = %ld %d\n", #x, r_, errno);                                                                                    \
  } while (0)
int main(void) {
  struct rlimit r;
  getrlimit(RLIMIT_STACK, &r);
  r.rlim_cur = 1 << 20;
  E(setrlimit(RLIMIT_STACK, &r));
  getrlimit(RLIMIT_STACK, &r);
  printf("%ld\n", (long)r.rlim_cur);
  r.rlim_cur = r.rlim_max;
  r.rlim_max = 1000;
  r.rlim_cur = 2000;
  E(setrlimit(RLIMIT_STACK, &r));
  E(getrlimit(99, &r));
  E(syscall(SYS_prlimit64, 0, RLIMIT_CORE, 0, &r));
  E(syscall(SYS_prlimit64, 999999, RLIMIT_CORE, 0, &r));
  r.rlim_cur = r.rlim_max = 10;
  E(setrlimit(RLIMIT_NOFILE, &r));
  int n = 0;
  while (open("/dev/null", 0) >= 0) n++;
  printf("%d %d\n", n, errno);
  E(dup(0));
  E(dup2(0, 10));
  E(dup2(0, 9));
  E(fcntl(0, F_DUPFD, 10));
  for (int i = 3; i < 10; i++) close(i);
  getrlimit(RLIMIT_AS, &r);
  r.rlim_cur = 64 << 20;
  E(setrlimit(RLIMIT_AS, &r));
  E(mmap(0, 100 << 20, 3, 34, -1, 0) == MAP_FAILED);
  E(malloc(200 << 20) == 0);
  r.rlim_cur = r.rlim_max;
  E(setrlimit(RLIMIT_AS, &r));
  E(mmap(0, 100 << 20, 3, 34, -1, 0) != MAP_FAILED);
  getrlimit(RLIMIT_DATA, &r);
  r.rlim_cur = 1 << 20;
  E(setrlimit(RLIMIT_DATA, &r));
  E(sbrk(4 << 20) == (void *)-1);
  E(mmap(0, 4 << 20, 3, 34, -1, 0) == MAP_FAILED);
  E(mmap(0, 4 << 20, 1, 34, -1, 0) == MAP_FAILED);
  r.rlim_cur = r.rlim_max;
  setrlimit(RLIMIT_DATA, &r);
  struct utsname u;
  E(uname(&u));
  printf("%s %s\n", u.sysname, u.machine);
  struct sysinfo si;
  E(sysinfo(&si));
  printf("%d %d %d\n", si.totalram > si.freeram, si.mem_unit > 0, si.procs > 0);
  E(getpagesize());
  E(sysconf(_SC_PAGESIZE));
  E(sysconf(_SC_CLK_TCK));
  printf("%d\n", sysconf(_SC_NPROCESSORS_ONLN) > 0);
  E(sysconf(_SC_PHYS_PAGES) > 0);
  E(sysconf(_SC_ARG_MAX));
  E(sysconf(_SC_IOV_MAX));
  E(prctl(PR_SET_NAME, "abc"));
  E(prctl(PR_GET_DUMPABLE));
  E(prctl(PR_SET_DUMPABLE, 0));
  E(prctl(PR_GET_DUMPABLE));
  E(prctl(PR_SET_DUMPABLE, 5));
  E(prctl(PR_SET_DUMPABLE, 1));
  int sig;
  E(prctl(PR_SET_PDEATHSIG, 9));
  E(prctl(PR_GET_PDEATHSIG, &sig));
  printf("%d\n", sig);
  E(prctl(PR_SET_PDEATHSIG, 100));
  E(prctl(PR_GET_KEEPCAPS));
  E(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  E(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  E(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  E(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  E(prctl(PR_GET_TIMERSLACK));
  E(prctl(12345));
  E(prctl(PR_GET_SECCOMP));
  E(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  E(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
  E(prctl(PR_GET_NAME, 1));
  E(prctl(PR_GET_TSC, &sig));
  printf("%d\n", sig);
  E(prctl(PR_CAPBSET_READ, 1));
  E(prctl(PR_CAPBSET_READ, 99));
  unsigned long fs = 0;
  E(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
  printf("%d\n", fs != 0);
  E(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x1234000));
  E(syscall(SYS_arch_prctl, ARCH_GET_GS, &fs));
  printf("%lx\n", fs);
  E(syscall(SYS_arch_prctl, 0x9999, 0));
  E(syscall(SYS_arch_prctl, ARCH_SET_FS, 1UL << 63));
  E(getpid() == syscall(SYS_gettid));
  E(getppid() >= 0);
  E(getsid(0) >= 0);
  E(getpgid(99999999));
  E(getuid() == geteuid());
  E(sched_yield());
  cpu_set_t cs;
  E(sched_getaffinity(0, sizeof cs, &cs) >= 0);
  printf("%d\n", CPU_COUNT(&cs) > 0);
  E(syscall(SYS_sched_getaffinity, 0, 1, &cs));
  E(sched_getscheduler(0));
  E(sched_get_priority_max(SCHED_FIFO));
  E(sched_get_priority_max(77));
  E(sched_getscheduler(-1));
  unsigned cpu, node;
  E(syscall(SYS_getcpu, &cpu, &node, 0));
  printf("%d %u\n", cpu < 64, node);
  E(getpriority(PRIO_PROCESS, 0));
  E(getpriority(9, 0));
  E(setpriority(PRIO_PROCESS, 0, 5));
  E(getpriority(PRIO_PROCESS, 0));
  E(nice(30));
  E(wait(0));
  E(waitpid(-1, 0, WNOHANG));
  E(waitpid(1234567, 0, 0x8888));
  siginfo_t w;
  E(waitid(P_ALL, 0, &w, WEXITED));
  E(waitid(P_ALL, 0, &w, 0));
  E(waitid(9, 0, &w, WEXITED));
  unsigned char b[300] = {0};
  int z = 0;
  E(getrandom(b, 300, 0));
  for (int i = 0; i < 300; i++) z += !b[i];
  printf("%d\n", z < 30);
  E(getrandom(b, 3, 99));
  E(getrandom((void *)1, 3, 0));
  E(getentropy(b, 257));
  E(syscall(SYS_membarrier, 0, 0, 0) >= 0);
  E(syscall(SYS_membarrier, 1 << 20, 0, 0));
  E(syscall(9999));
  E(syscall(-1));
  unsigned h[2] = {0x20080522, 0}, d[6] = {0};
  E(syscall(SYS_capget, h, d));
  h[0] = 1;
  E(syscall(SYS_capget, h, d));
  printf("%x\n", h[0]);
  E(syscall(SYS_personality, 0xffffffff));
  E(gethostname((char *)b, 1));
  E(setuid(getuid()));
  E(getgroups(0, 0) >= 0);
  E(getgroups(-1, 0));
  E(syscall(SYS_rseq, 0, 0, 0, 0));
  E(syscall(SYS_set_robust_list, 0, 1));
  return 0;
}
