// which pages of a cold file each way of reading brings into the page cache.
#include "files.h"
#define NP 256
static char vec[NP];
static int fd;
static char *mm_;
static void show(const char *t) {
  struct timespec ts = {0, 3000000};
  nanosleep(&ts, 0);
  char *m = mmap(0, NP * 4096, 1, MAP_SHARED, fd, 0);
  mincore(m, NP * 4096, vec);
  munmap(m, NP * 4096);
  printf("%-36s", t);
  int i = 0;
  while (i < NP) {
    if (!(vec[i] & 1)) {
      i++;
      continue;
    }
    int j = i;
    while (j < NP && (vec[j] & 1)) j++;
    if (j == i + 1)
      printf(" %d", i);
    else
      printf(" %d-%d", i, j - 1);
    i = j;
  }
  puts("");
  fflush(stdout);
}
static void cold(void) {
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}
static void fresh(void) {
  close(fd);
  fd = open("f", O_RDWR);
  cold();
}
static char b[2 << 20];
#define O(e)                                                                                                                     \
  do {                                                                                                                           \
    e;                                                                                                                           \
    show(#e);                                                                                                                    \
  } while (0)
#define FR(t)                                                                                                                    \
  do {                                                                                                                           \
    fresh();                                                                                                                     \
    say("-- %s\n", t);                                                                                                           \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "readahead")) return 1;
  fd = mk("f", NP * 4096);
  fsync(fd);
  volatile char x;
  long p = 4096;
  FR("seq 1 page");
  for (int i = 0; i < 24; i++) {
    char t[40];
    pread(fd, b, p, i * p);
    sprintf(t, "pread %d", i);
    show(t);
  }
  FR("seq 512 bytes");
  for (int i = 0; i < 20; i++) {
    pread(fd, b, 512, i * 512);
  }
  show("20x512");
  FR("seq 3 pages");
  for (int i = 0; i < 8; i++) {
    char t[40];
    pread(fd, b, 3 * p, i * 3 * p);
    sprintf(t, "pread3 %d", i);
    show(t);
  }
  FR("64K");
  for (int i = 0; i < 3; i++) {
    pread(fd, b, 65536, i * 65536L);
    show("64K");
  }
  FR("1M");
  O(pread(fd, b, 1 << 20, 0));
  FR("200K at 100K");
  O(pread(fd, b, 200 << 10, 100 << 10));
  FR("random");
  O(pread(fd, b, p, 100 * p));
  O(pread(fd, b, p, 50 * p));
  O(pread(fd, b, p, 101 * p));
  O(pread(fd, b, p, 102 * p));
  O(pread(fd, b, p, 51 * p));
  O(pread(fd, b, 2 * p, 200 * p));
  O(pread(fd, b, p, 202 * p));
  FR("last first");
  O(pread(fd, b, p, 255 * p));
  O(pread(fd, b, p, 254 * p));
  O(pread(fd, b, p, 253 * p));
  O(pread(fd, b, p, 0));
  FR("stride");
  for (int i = 0; i < 6; i++) {
    O(pread(fd, b, p, i * 8 * p));
  }
  FR("two streams");
  for (int i = 0; i < 6; i++) {
    pread(fd, b, p, i * p);
    pread(fd, b, p, (128 + i) * p);
    show("2s");
  }
  FR("RANDOM");
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  O(pread(fd, b, p, 0));
  O(pread(fd, b, p, p));
  O(pread(fd, b, 10 * p, 20 * p));
  posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
  O(pread(fd, b, p, 40 * p));
  O(pread(fd, b, p, 41 * p));
  FR("SEQUENTIAL");
  posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  for (int i = 0; i < 12; i++) {
    O(pread(fd, b, p, i * p));
  }
  FR("WILLNEED");
  O(posix_fadvise(fd, 10 * p, 5 * p, POSIX_FADV_WILLNEED));
  O(posix_fadvise(fd, 20 * p + 1, 1, POSIX_FADV_WILLNEED));
  O(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
  FR("readahead");
  O(readahead(fd, 5 * p + 1, p));
  O(readahead(fd, 30 * p, 0));
  O(readahead(fd, 0, 1 << 30));
  FR("dontneed parts");
  pread(fd, b, 1 << 20, 0);
  O(posix_fadvise(fd, 1, 3 * p, POSIX_FADV_DONTNEED));
  O(posix_fadvise(fd, 10 * p + 5, 2 * p - 5, POSIX_FADV_DONTNEED));
  O(posix_fadvise(fd, 254 * p + 5, 0, POSIX_FADV_DONTNEED));
  O(posix_fadvise(fd, 250 * p, 2 * p + 1, POSIX_FADV_DONTNEED));
  ftruncate(fd, NP * p - 100);
  O(posix_fadvise(fd, 200 * p, 56 * p - 100, POSIX_FADV_DONTNEED));
  ftruncate(fd, NP * p);
  char *m;
#define MM(adv)                                                                                                                  \
  m = mmap(0, NP * p, 3, MAP_SHARED, fd, 0);                                                                                     \
  if (adv >= 0) madvise(m, NP *p, adv)
#define MU() munmap(m, NP *p)
  FR("mmap");
  MM(-1);
  O(x = m[0]);
  O(x = m[100 * p]);
  O(x = m[101 * p]);
  O(x = m[200 * p]);
  O(x = m[255 * p]);
  O(x = m[60 * p]);
  MU();
  FR("mmap seq touch");
  MM(-1);
  for (int i = 0; i < 80; i++) x = m[i * p];
  show("80");
  MU();
  FR("MADV_RANDOM");
  MM(MADV_RANDOM);
  O(x = m[0]);
  O(x = m[1 * p]);
  O(x = m[100 * p]);
  MU();
  FR("MADV_SEQUENTIAL");
  MM(MADV_SEQUENTIAL);
  for (int i = 0; i < 20; i++) {
    x = m[i * p];
    if (i % 4 == 0) show("seq");
  }
  O(x = m[100 * p]);
  MU();
  FR("MADV_WILLNEED");
  MM(-1);
  O(madvise(m + 10 * p, 5 * p, MADV_WILLNEED));
  O(madvise(m, NP * p, MADV_WILLNEED));
  MU();
  FR("store");
  MM(-1);
  O(m[50 * p] = 1);
  O(m[0] = 1);
  MU();
  FR("private store");
  m = mmap(0, NP * p, 3, MAP_PRIVATE, fd, 0);
  O(m[50 * p] = 1);
  MU();
  FR("populate");
  m = mmap(0, NP * p, 1, MAP_SHARED | MAP_POPULATE, fd, 0);
  show("pop");
  MU();
  FR("populate part");
  m = mmap(0, 10 * p, 1, MAP_SHARED | MAP_POPULATE, fd, 20 * p);
  show("pop");
  munmap(m, 10 * p);
  FR("partial write");
  O(pwrite(fd, b, 10, 50 * p));
  O(pwrite(fd, b, p, 60 * p));
  O(pwrite(fd, b, 2 * p, 70 * p + 5));
  FR("mmap miss");
  MM(-1);
  for (int i = 0; i < 130; i++) {
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    x = m[(i * 37 % 250) * p];
    madvise(m, NP * p, MADV_DONTNEED);
  }
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  O(x = m[3 * p]);
  O(x = m[30 * p]);
  MU();
  FR("sendfile");
  int g = mk("g", 0);
  off_t o = 0;
  O(sendfile(g, fd, &o, p));
  O(sendfile(g, fd, &o, 100 * p));
  FR("readv");
  struct iovec io[3] = {{b, p}, {b, p}, {b, p}};
  O(readv(fd, io, 3));
  O(readv(fd, io, 3));
  FR("exec-like odd");
  lseek(fd, 0, 0);
  O(read(fd, b, 100));
  O(read(fd, b, 5000));
  O(read(fd, b, 5000));
  O(read(fd, b, 20000));
  O(read(fd, b, 100000));
  return 0;
}
