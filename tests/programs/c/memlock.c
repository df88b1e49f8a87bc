// RLIMIT_MEMLOCK without CAP_IPC_LOCK, in every call that locks memory: EAGAIN, ENOMEM, EPERM, and brk's silence.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#define PG 4096UL
#define SHOW(call) do { errno = 0; long answer = (long)(call); printf("%-55s %s\n", #call, answer == -1 ? strerror(errno) : "ok"); } while (0)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
static void limit(long pages) {
  struct rlimit r;
  getrlimit(RLIMIT_MEMLOCK, &r);
  r.rlim_cur = pages * PG;
  SHOW(setrlimit(RLIMIT_MEMLOCK, &r));
}
static char *map(unsigned long at, unsigned long pages, int flags) {
  return mmap((void *)at, pages * PG, PROT_READ | PROT_WRITE, ANON | MAP_FIXED | flags, -1, 0);
}
int main(void) {
  if (setuid(1000) && getuid() == 0) return 1;
  char *stack = map(0x20000000, 1, MAP_GROWSDOWN), *three = map(0x20010000, 3, 0), *one = map(0x20020000, 1, 0);
  SHOW(mlock(stack, PG));
  SHOW(mlock(three, 3 * PG));
  limit(4);
  SHOW(mmap(0, PG, PROT_READ, ANON | MAP_LOCKED, -1, 0));
  SHOW(mremap(three, 3 * PG, 4 * PG, MREMAP_MAYMOVE));
  SHOW(mlock(one, PG));
  SHOW(syscall(SYS_mlock2, one, PG, 1));
  SHOW(mlock(three, 3 * PG));
  SHOW(mlock(three + 1, 3 * PG));
  SHOW(mlockall(MCL_CURRENT));
  SHOW(mlockall(MCL_FUTURE));
  SHOW(mmap(0, PG, PROT_READ, ANON, -1, 0));
  long heap = syscall(SYS_brk, 0);
  printf("brk +%ld\n", syscall(SYS_brk, heap + PG) - heap);
  limit(5);
  printf("brk +%ld\n", syscall(SYS_brk, heap + PG) - heap);
  printf("brk +%ld\n", syscall(SYS_brk, heap + 2 * PG) - heap);
  limit(0);
  SHOW(mmap(0, PG, PROT_READ, ANON | MAP_LOCKED, -1, 0));
  SHOW(mlock(three, PG));
  SHOW(mlockall(MCL_FUTURE));
  SHOW(munlock(three, 3 * PG));
  SHOW(syscall(SYS_mlock2, three, PG, 0));
  SHOW(munlockall());
  SHOW(mmap(0, PG, PROT_READ, ANON, -1, 0));
  return 0;
}
