// smaps and pagemap of mappings of all kinds, clear_refs.
#include "files.h"
static int pm;
static void sm(const char *t, void *a) {
  char l[400], k[40];
  FILE *f = fopen("/proc/self/smaps", "r");
  int on = 0;
  printf("%-26s", t);
  while (fgets(l, 400, f)) {
    unsigned long s, e;
    char pr[8];
    if (sscanf(l, "%lx-%lx %4s", &s, &e, pr) == 3 && strchr(l, '-') && l[0] != ' ' && (l[0] < 'A' || l[0] > 'Z')) {
      on = (unsigned long)a >= s && (unsigned long)a < e;
      if (on) printf("%ldk %s", (e - s) >> 10, pr);
    } else if (on) {
      long v;
      if (sscanf(l, "%39[^:]: %ld kB", k, &v) == 2 && v && strcmp(k, "KernelPageSize") && strcmp(k, "MMUPageSize") &&
          strcmp(k, "Size"))
        printf(" %s=%ld", k, v);
      else if (!strncmp(l, "VmFlags", 7)) {
        l[strlen(l) - 1] = 0;
        printf(" [%s]", l + 9);
      }
    }
  }
  fclose(f);
  uint64_t e;
  printf(" pm");
  for (int i = 0; i < 4; i++) {
    pread(pm, &e, 8, ((uintptr_t)a / 4096 + i) * 8);
    printf(" %lx", (long)(e >> 55));
  }
  puts("");
  fflush(stdout);
}
#define X(e, p)                                                                                                                  \
  do {                                                                                                                           \
    e;                                                                                                                           \
    sm(#e, p);                                                                                                                   \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "smaps")) return 1;
  pm = open("/proc/self/pagemap", O_RDONLY);
  long p = 4096;
  int fd = mk("f", 4 * p);
  volatile char x;
  char b[100];
  char *m = mmap(0, 4 * p, 3, MAP_SHARED, fd, 0);
  X(0, m);
  X(x = m[0], m);
  X(m[0] = 1, m);
  X(fsync(fd), m);
  X(x = m[0], m);
  X(pwrite(fd, b, 10, 0), m);
  X(madvise(m, p, MADV_COLD), m);
  X(mlock(m, 2 * p), m);
  munlockall();
  int cr = open("/proc/self/clear_refs", O_WRONLY);
  X(pwrite(cr, "1", 1, 0), m);
  X(x = m[p], m);
  X(m[2 * p] = 1, m);
  X(pwrite(cr, "4", 1, 0), m);
  X(m[2 * p] = 2, m);
  X(m[3 * p] = 2, m);
  X(pwrite(cr, "3", 1, 0), m);
  X(pwrite(cr, "2", 1, 0), m);
  pwrite(cr, "5", 1, 0);
  S(pwrite(cr, "6", 1, 0));
  S(pwrite(cr, "0", 1, 0));
  S(pwrite(cr, "a", 1, 0));
  char *q = mmap(0, 4 * p, 3, MAP_PRIVATE, fd, 0);
  X(x = q[0], q);
  X(q[0] = 1, q);
  X(mprotect(q, p, 1), q);
  X(mprotect(q, p, 3), q);
  X(madvise(q, p, MADV_DONTNEED), q);
  X(madvise(q, 4 * p, MADV_SEQUENTIAL), q);
  X(madvise(q, 4 * p, MADV_RANDOM), q);
  X(madvise(q, 4 * p, MADV_NORMAL), q);
  X(madvise(q, 4 * p, MADV_DONTDUMP), q);
  X(madvise(q, 4 * p, MADV_DONTFORK), q);
  X(madvise(q, 4 * p, MADV_MERGEABLE), q);
  char *a = mmap(0, 4 * p, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(a, 4 * p, MADV_NOHUGEPAGE);
  X(x = a[0], a);
  X(a[0] = 1, a);
  X(a[p] = 1, a);
  X(madvise(a, p, MADV_FREE), a);
  X(x = a[0], a);
  X(a[0] = 3, a);
  X(mlock2(a, 4 * p, MLOCK_ONFAULT), a);
  X(a[2 * p] = 1, a);
  X(munlock(a, 4 * p), a);
  int pp[2], qq[2];
  pipe(pp);
  pipe(qq);
  if (fork() == 0) {
    write(pp[1], "x", 1);
    read(qq[0], b, 1);
    a[0] = 9;
    write(pp[1], "x", 1);
    read(qq[0], b, 1);
    _exit(0);
  }
  read(pp[0], b, 1);
  sm("forked", a);
  sm("forked", m);
  sm("forked", q);
  write(qq[1], "x", 1);
  read(pp[0], b, 1);
  sm("child wrote", a);
  a[p] = 4;
  sm("parent wrote", a);
  write(qq[1], "x", 1);
  wait(0);
  sm("child gone", a);
  a[0] = 1;
  sm("a[0]=1", a);
  X(madvise(a, 4 * p, MADV_WIPEONFORK), a);
  X(madvise(a, 4 * p, MADV_KEEPONFORK), a);
  char *s = mmap(0, 4 * p, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  X(x = s[0], s);
  X(s[p] = 1, s);
  X(madvise(s, 2 * p, MADV_DONTNEED), s);
  int mf = memfd_create("a", 0);
  ftruncate(mf, 4 * p);
  char *t = mmap(0, 4 * p, 3, MAP_SHARED, mf, 0);
  pwrite(mf, b, 10, 0);
  X(x = t[0], t);
  X(t[p] = 1, t);
  char *t2 = mmap(0, 4 * p, 1, MAP_SHARED, mf, 0);
  X(x = t2[0], t2);
  sm("t", t);
  char *tp = mmap(0, 4 * p, 3, MAP_PRIVATE, mf, 0);
  X(x = tp[0], tp);
  X(tp[p] = 1, tp);
  X(tp[2 * p] = 1, tp);
  char *g = mmap(0, 4 * p, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE, -1, 0);
  X(g[3 * p] = 1, g);
  char *n = mmap(0, 4 * p, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  X(0, n);
  int ro = open("f", O_RDONLY);
  char *r = mmap(0, 4 * p, 1, MAP_SHARED, ro, 0);
  X(x = r[0], r);
  char *ex = mmap(0, 4 * p, 5, MAP_PRIVATE, ro, 0);
  X(x = ex[0], ex);
  char *lk = mmap(0, 4 * p, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
  X(0, lk);
  char *po = mmap(0, 4 * p, 3, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  X(0, po);
  po = mmap(0, 4 * p, 1, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  X(0, po);
  X(fallocate(fd, 3, 0, 2 * p), po);
  X(ftruncate(fd, p), po);
  X(0, m);
  X(0, q);
  return 0;
}
