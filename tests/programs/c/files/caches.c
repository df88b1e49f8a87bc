// drop_caches, whom mincore tells, truncation under mappings.
#include "files.h"
static char vec[64];
static int fd;
static void show(const char *t) {
  char *m = mmap(0, 64 * 4096, 1, MAP_SHARED, fd, 0);
  int r = mincore(m, 64 * 4096, vec);
  munmap(m, 64 * 4096);
  printf("%-40s", t);
  if (r) printf("%s", strerrorname_np(errno));
  for (int i = 0; i < 64; i++) putchar(vec[i] & 1 ? '1' : '.');
  puts("");
  fflush(stdout);
}
static char *spare;
static void dc(const char *s) {
  // Pages in a pagevec stay cached: MADV_COLD begins with lru_add_drain().
  madvise(spare, 4096, MADV_COLD);
  int f = open("/proc/sys/vm/drop_caches", O_WRONLY);
  errno = 0;
  int r = write(f, s, strlen(s));
  say("drop %s: %d %s\n", s, r, r < 0 ? strerrorname_np(errno) : "");
  close(f);
}
#define O(e)                                                                                                                     \
  do {                                                                                                                           \
    e;                                                                                                                           \
    show(#e);                                                                                                                    \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "caches")) return 1;
  long p = 4096;
  spare = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char b[8192];
  fd = mk("f", 64 * p);
  volatile char x;
  show("new");
  dc("1");
  show("dirty dropped");
  fsync(fd);
  dc("1");
  show("clean dropped");
  pread(fd, b, 1, 0);
  char *m = mmap((void *)0x20000000, 64 * p, 3, MAP_SHARED | MAP_FIXED, fd, 0);
  x = m[10 * p];
  m[40 * p] = 1;
  show("some");
  dc("1");
  show("dropped");
  dc("2");
  dc("3");
  dc("4");
  dc("0");
  dc("5");
  dc("x");
  dc("1\n");
  dc("");
  mlock(m + 50 * p, p);
  munmap(m, 40 * p);
  dc("1");
  show("after unmap");
  sync();
  dc("1");
  show("after sync");
  munmap(m + 40 * p, 24 * p);
  dc("1");
  show("all");
  // mincore permission
  for (int i = 0; i < 8; i++) pread(fd, b, 1, i * p);
  show("owner");
  chmod("f", 0644);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int ro = open("f", O_RDONLY);
    fd = ro;
    show("other ro");
    S(posix_fadvise(ro, 0, 0, POSIX_FADV_DONTNEED));
    _exit(0);
  }
  wait(0);
  show("after other's DONTNEED");
  chmod("f", 0666);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int ro = open("f", O_RDONLY);
    fd = ro;
    show("other who could write");
    _exit(0);
  }
  wait(0);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    chmod("f", 0644);
    int ro = open("f", O_RDONLY);
    char *q = mmap(0, 64 * p, 1, MAP_PRIVATE, ro, 0);
    S(madvise(q, p, MADV_COLD));
    S(madvise(q, p, MADV_PAGEOUT));
    S(madvise(q, p, MADV_WILLNEED));
    S(madvise(q, p, MADV_DONTNEED));
    _exit(0);
  }
  wait(0);
  m = mmap(0, 64 * p, 3, MAP_PRIVATE, fd, 0);
  m[0] = 1;
  x = m[5 * p];
  O(mincore(m, 64 * p, vec));
  printf("private: ");
  mincore(m, 64 * p, vec);
  for (int i = 0; i < 64; i++) putchar(vec[i] & 1 ? '1' : '.');
  puts("");
  char *a = mmap(0, 4 * p, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(a, 4 * p, MADV_NOHUGEPAGE);
  a[p] = 1;
  x = a[2 * p];
  mincore(a, 4 * p, vec);
  say("%d%d%d%d\n", vec[0], vec[1], vec[2], vec[3]);
  a = mmap(0, 4 * p, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  a[p] = 1;
  x = a[2 * p];
  mincore(a, 4 * p, vec);
  say("%d%d%d%d\n", vec[0], vec[1], vec[2], vec[3]);
  madvise(a, 4 * p, MADV_DONTNEED);
  mincore(a, 4 * p, vec);
  say("%d%d%d%d\n", vec[0], vec[1], vec[2], vec[3]);
  // truncation
  int t = mk("t", 3 * p);
  char *s = mmap(0, 4 * p, 3, MAP_SHARED, t, 0), *pr = mmap(0, 4 * p, 3, MAP_PRIVATE, t, 0);
  pr[0] = 'P';
  pr[2 * p] = 'P';
  s[p + 10] = 'S';
  ftruncate(t, p + 5);
  say("%d %d %c\n", s[p + 10], pr[p + 10], pr[0]);
  ftruncate(t, 3 * p);
  say("%d %d\n", s[2 * p], pr[2 * p]);
  s[p + 100] = 'Z';
  ftruncate(t, p + 50);
  s[p + 60] = 'Y';
  say("%d\n", s[p + 60]);
  fsync(t);
  say("%d\n", s[p + 60]);
  ftruncate(t, 2 * p);
  say("%d\n", s[p + 60]);
  s[p + 3000] = 'Q';
  ftruncate(t, p + 2000);
  ftruncate(t, p + 4000);
  say("%d\n", s[p + 3000]);
  ftruncate(t, p + 100);
  s[p + 200] = 'W';
  pread(t, b, p, p);
  say("%d\n", b[200]);
  pwrite(t, "x", 1, p + 300);
  say("%d %d\n", s[p + 200], s[p + 300]);
  fallocate(t, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, p);
  say("%d %c\n", s[0], pr[0]);
  fallocate(t, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 20);
  return 0;
}
