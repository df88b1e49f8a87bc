// kpageflags and kpagecount along the lives of pages.
#include "files.h"
static int pm, kf, kc;
static char *spare;
static const char *N[64] = {
    "L", "E", "R",  "U",        "D",        "lru",      "A",        "slab",     "W",        "I",        "B",        "M",
    "a", "s", "b",  "H",        "T",        "G",        "u",        "X",        "n",        "x",        "t",        "off",
    "z", "i", "pt", [32] = "r", [33] = "m", [34] = "d", [35] = "P", [36] = "p", [37] = "O", [38] = "h", [39] = "c", [40] = "f"};
static void fl(const char *t, void *p) {
  uint64_t e = 0, f = 0, c = 0;
  pread(pm, &e, 8, (uintptr_t)p / 4096 * 8);
  if (!(e >> 63)) {
    say("%-28s not present %lx\n", t, e >> 55);
    return;
  }
  uint64_t pfn = e & ((1UL << 55) - 1);
  pread(kf, &f, 8, pfn * 8);
  pread(kc, &c, 8, pfn * 8);
  char b[300] = "";
  for (int i = 0; i < 64; i++)
    if (f >> i & 1) {
      if (N[i]) {
        strcat(b, N[i]);
        strcat(b, ",");
      } else
        sprintf(b + strlen(b), "%d,", i);
    }
  say("%-28s %s count %ld pm %lx\n", t, b, (long)c, e >> 55);
}
// MADV_COLD begins with lru_add_drain().
static void drain(void) { madvise(spare, 4096, MADV_COLD); }
#define F(e, p)                                                                                                                  \
  do {                                                                                                                           \
    e;                                                                                                                           \
    drain();                                                                                                                     \
    fl(#e, p);                                                                                                                   \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "pageflags")) return 1;
  pm = open("/proc/self/pagemap", O_RDONLY);
  kf = open("/proc/kpageflags", O_RDONLY);
  kc = open("/proc/kpagecount", O_RDONLY);
  spare = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char b[8192];
  char *a = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(a, 65536, MADV_NOHUGEPAGE);
  volatile char x;
  F(x = a[0], a);
  F(a[0] = 1, a);
  F(a[4096] = 1, a + 4096);
  F(madvise(a, 4096, MADV_FREE), a);
  F(a[0] = 2, a);
  F(madvise(a, 4096, MADV_COLD), a);
  F(mlock(a, 4096), a);
  F(munlock(a, 4096), a);
  F(madvise(a, 4096, MADV_DONTNEED), a);
  F(mlock(a + 8192, 4096), a + 8192);
  a[4096] = 1;
  int pp[2], qq[2];
  pipe(pp);
  pipe(qq);
  if (fork() == 0) {
    write(pp[1], "x", 1);
    read(qq[0], b, 1);
    _exit(0);
  }
  read(pp[0], b, 1);
  F(a[8192], a + 4096);
  F(a[4096] = 3, a + 4096);
  write(qq[1], "x", 1);
  wait(0);
  int fd = mk("f", 16384);
  char *m = mmap(0, 16384, 3, MAP_SHARED, fd, 0);
  F(x = m[0], m);
  F(x = m[4096], m + 4096);
  F(m[0] = 1, m);
  F(fsync(fd), m);
  F(x = m[0], m);
  F(m[0] = 2, m);
  F(pread(fd, b, 8192, 0), m);
  F(pread(fd, b, 8192, 0), m);
  F(pwrite(fd, b, 10, 4096), m + 4096);
  F(fdatasync(fd), m + 4096);
  F(pwrite(fd, b, 10, 4096), m + 4096);
  F(sync_file_range(fd, 0, 0, 7), m + 4096);
  F(msync(m, 16384, MS_SYNC), m);
  F(madvise(m, 16384, MADV_COLD), m);
  F(madvise(m, 16384, MADV_DONTNEED), m);
  F(x = m[0], m);
  F(mlock(m, 4096), m);
  F(munlock(m, 4096), m);
  munmap(m, 16384);
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  m = mmap(0, 16384, 3, MAP_SHARED, fd, 0);
  F(x = m[0], m);
  F(x = m[8192], m + 8192);
  munmap(m, 16384);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  pread(fd, b, 1, 0);
  m = mmap(0, 16384, 3, MAP_SHARED, fd, 0);
  F(x = m[0], m);
  fl("1", m + 4096);
  x = m[4096];
  fl("1", m + 4096);
  x = m[8192];
  fl("2", m + 8192);
  munmap(m, 16384);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  m = mmap(0, 16384, 3, MAP_SHARED, fd, 0);
  F(m[0] = 1, m);
  fl("1", m + 4096);
  munmap(m, 16384);
  F(m = mmap(0, 16384, 3, MAP_PRIVATE, fd, 0); x = m[0], m);
  F(m[0] = 7, m);
  F(m[4096] = 7, m + 4096);
  munmap(m, 16384);
  int h = open("hole", O_RDWR | O_CREAT, 0600);
  ftruncate(h, 16384);
  m = mmap(0, 16384, 3, MAP_SHARED, h, 0);
  F(x = m[0], m);
  F(m[0] = 1, m);
  F(fsync(h), m);
  F(m[4096] = 1, m + 4096);
  F(fallocate(h, 0, 8192, 4096); x = m[8192], m + 8192);
  F(m[8192] = 1, m + 8192);
  munmap(m, 16384);
  m = mmap(0, 16384, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  F(x = m[0], m);
  F(m[0] = 1, m);
  F(m[4096] = 1, m + 4096);
  F(madvise(m, 4096, MADV_DONTNEED), m);
  F(x = m[0], m);
  F(mlock(m, 4096), m);
  F(madvise(m, 4096, MADV_REMOVE), m);
  munmap(m, 16384);
  int id = shmget(IPC_PRIVATE, 8192, 0600);
  char *s = shmat(id, 0, 0);
  F(s[0] = 1, s);
  F(shmctl(id, SHM_LOCK, 0); s[4096] = 1, s + 4096);
  fl("s", s);
  F(shmctl(id, SHM_UNLOCK, 0), s + 4096);
  shmctl(id, IPC_RMID, 0);
  int dr = open("f", O_RDWR | O_DIRECT);
  if (dr >= 0) {
    void *q = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    F(pread(dr, q, 4096, 0), q);
    m = mmap(0, 16384, 3, MAP_SHARED, fd, 0);
    x = m[0];
    F(pwrite(dr, q, 4096, 0), m);
    F(x = m[0], m);
    F(m[0] = 1, m);
    F(pread(dr, q, 4096, 0), m);
    F(pwrite(dr, q, 4096, 8192), m);
  }

  return 0;
}
