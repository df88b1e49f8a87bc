// SPDX-License-Identifier: GPL-2.0-or-later
// Capabilities: what is given up stays given up, and what that forbids. Says nothing about how many there were at first.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define E(x) do { errno = 0; long r_ = (long)(x); printf("%s = %ld %d\n", #x, r_, errno); } while (0)

// linux/capability.h, which musl does not bring along.
enum { VERSION_3 = 0x20080522, CAP_CHOWN = 0, CAP_SETUID = 7 };
static struct { unsigned version; int pid; } h = {VERSION_3, 0};
static struct { unsigned effective, permitted, inheritable; } d[2];

static int get(void) { h.version = VERSION_3; return syscall(SYS_capget, &h, d); }
static int set(void) { return syscall(SYS_capset, &h, d); }
static int has(int cap) { get(); return d[cap / 32].effective >> cap % 32 & 1; }
static int may(int cap) { get(); return d[cap / 32].permitted >> cap % 32 & 1; }

static void show(const char *when)
{
  char line[128];
  printf("%s: setuid %d/%d chown %d/%d\n", when, has(CAP_SETUID), may(CAP_SETUID), has(CAP_CHOWN), may(CAP_CHOWN));
  FILE *f = fopen("/proc/self/status", "r");
  get();
  unsigned long long eff = d[0].effective | (unsigned long long)d[1].effective << 32, seen;
  while (f && fgets(line, sizeof line, f))
    if (sscanf(line, "CapEff: %llx", &seen) == 1) printf("status agrees %d\n", seen == eff);
  if (f) fclose(f);
}

int main(int argc, char **argv)
{
  if (argc > 1) {
    show("after exec");
    return 0;
  }
  int root = getuid() == 0;
  show("start");
  h.version = 7;
  E(set());
  printf("%x\n", h.version);
  h.pid = 1;
  E(set());
  h.pid = -1;
  E(set());
  h.pid = 0;
  E(syscall(SYS_capset, &h, 8));
  E(syscall(SYS_capset, 8, d));
  get();
  d[0].effective = ~0u, d[0].permitted = 0;
  E(set());
  E(seteuid(1000) == (root ? 0 : -1));
  show("seteuid");
  E(seteuid(root ? 0 : getuid()));
  show("back");
  E(setfsuid(1000) == (int)geteuid());
  show("setfsuid");
  E(setfsuid(root ? 0 : getuid()) >= 0);
  show("fs back");
  // Keep what is permitted, use none of it.
  get();
  d[0].effective = d[1].effective = 0;
  E(set());
  show("none in use");
  E(setuid(12345));
  E(setgid(12345));
  E(sethostname("x", 1));
  E(open("/etc/shadow", O_RDONLY) >= 0 || errno == EACCES || !root);
  struct rlimit r = {4096, 4096};
  E(setrlimit(RLIMIT_MEMLOCK, &r));
  r.rlim_max = 8192;
  E(setrlimit(RLIMIT_MEMLOCK, &r));
  char *p = mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  E(mlock(p, 4096));
  E(mlock(p, 16384));
  E(munlock(p, 16384));
  get();
  d[0].effective = d[0].permitted, d[1].effective = d[1].permitted;
  E(set());
  show("in use again");
  memset(d, 0, sizeof d);
  E(set());
  d[0].permitted = 1;
  E(set());
  show("all gone");
  E(setuid(12345));
  E(mlock(p, 16384));
  E(prctl(PR_CAPBSET_READ, 41));
  fflush(stdout);
  execl(argv[0], argv[0], "again", (char *)0);
  return 1;
}
