// fallocate(2), SEEK_HOLE, FIEMAP, RLIMIT_FSIZE and offsets at the limits.
#include "files.h"
static int got;
static void h(int s) { got = s; }
static void st(int fd) {
  struct stat s;
  fstat(fd, &s);
  printf("   size %ld blocks %ld\n", (long)s.st_size, (long)s.st_blocks);
  fflush(stdout);
}
static void fm(int fd, int flags) {
  char buf[4096];
  struct fiemap *f = (void *)buf;
  memset(buf, 0, sizeof buf);
  f->fm_length = ~0UL;
  f->fm_flags = flags;
  f->fm_extent_count = 20;
  int r = ioctl(fd, FS_IOC_FIEMAP, f);
  if (r) {
    printf("   fiemap %s\n", strerrorname_np(errno));
    return;
  }
  printf("   fiemap %d:", f->fm_mapped_extents);
  for (int i = 0; i < f->fm_mapped_extents; i++)
    printf(" [%ld+%ld %x%s]", (long)f->fm_extents[i].fe_logical, (long)f->fm_extents[i].fe_length, f->fm_extents[i].fe_flags,
           f->fm_extents[i].fe_physical ? "" : " 0");
  puts("");
  fflush(stdout);
}
static void map(int fd) {
  off_t p = 0;
  printf("   ");
  for (;;) {
    off_t d = lseek(fd, p, SEEK_DATA);
    if (d < 0) {
      printf("end %s", strerrorname_np(errno));
      break;
    }
    off_t e = lseek(fd, d, SEEK_HOLE);
    printf("%ld-%ld ", (long)d, (long)e);
    p = e;
  }
  puts("");
  fflush(stdout);
}
#define FA(m, o, l)                                                                                                              \
  do {                                                                                                                           \
    errno = 0;                                                                                                                   \
    int r = fallocate(fd, m, o, l);                                                                                              \
    printf("fallocate(%s,%s,%s) %d %s\n", #m, #o, #l, r, r ? strerrorname_np(errno) : "");                                       \
    st(fd);                                                                                                                      \
    map(fd);                                                                                                                     \
  } while (0)
#define K FALLOC_FL_KEEP_SIZE
#define H FALLOC_FL_PUNCH_HOLE
#define Z FALLOC_FL_ZERO_RANGE
#define C FALLOC_FL_COLLAPSE_RANGE
#define I FALLOC_FL_INSERT_RANGE
#define U FALLOC_FL_UNSHARE_RANGE
int main(int c, char **v) {
  if (!start(c, v, "preallocation")) return 1;
  int fd = mk("f", 10000);
  signal(SIGXFSZ, h);
  st(fd);
  fm(fd, 0);
  map(fd);
  FA(0, 0, 20000);
  fm(fd, 1);
  FA(K, 0, 40000);
  fm(fd, 1);
  FA(H | K, 4096, 4096);
  fm(fd, 1);
  FA(H, 0, 4096);
  FA(H | K, 5000, 100);
  FA(H | K, 100, 9000);
  fm(fd, 1);
  FA(H | K, 100000, 4096);
  FA(H | K, 18000, 1 << 20);
  fm(fd, 1);
  FA(Z, 0, 8192);
  FA(Z | K, 30000, 8192);
  FA(Z, 100, 200);
  FA(Z | H, 0, 1);
  FA(C, 0, 4096);
  FA(C, 0, 100);
  FA(C, 4096, 1 << 20);
  FA(C | K, 0, 4096);
  FA(I, 4096, 4096);
  FA(I, 1, 4096);
  FA(I, 1 << 20, 4096);
  FA(I | K, 0, 4096);
  FA(C | I, 0, 4096);
  FA(U, 0, 4096);
  FA(U | K, 0, 4096);
  FA(U | H, 0, 4096);
  FA(0x100, 0, 1);
  FA(0x80, 0, 1);
  FA(4, 0, 1);
  FA(0, -1, 1);
  FA(0, 0, 0);
  FA(0, 0, -1);
  FA(0, 1L << 62, 1L << 62);
  FA(0, 0x7ffffffffffff000, 4096);
  FA(0, 1L << 44, 4096);
  struct rlimit rl = {65536, 65536 * 4};
  setrlimit(RLIMIT_FSIZE, &rl);
  got = 0;
  FA(0, 60000, 10000);
  say("sig %d\n", got);
  got = 0;
  FA(K, 60000, 10000);
  say("sig %d\n", got);
  FA(Z, 60000, 10000);
  say("sig %d\n", got);
  got = 0;
  FA(I, 0, 65536);
  say("sig %d\n", got);
  got = 0;
  S(ftruncate(fd, 65536));
  S(ftruncate(fd, 65537));
  say("sig %d\n", got);
  got = 0;
  S(pwrite(fd, "abcdef", 6, 65534));
  say("sig %d\n", got);
  got = 0;
  S(pwrite(fd, "abcdef", 6, 65536));
  say("sig %d\n", got);
  got = 0;
  S(pwrite(fd, "", 0, 70000));
  S(truncate("f", 80000));
  say("sig %d\n", got);
  got = 0;
  int g = mk("g", 4096);
  loff_t a = 0, b = 65530;
  S(copy_file_range(g, &a, fd, &b, 4096, 0));
  say("sig %d\n", got);
  got = 0;
  a = 0;
  b = 65536;
  S(copy_file_range(g, &a, fd, &b, 4096, 0));
  say("sig %d\n", got);
  got = 0;
  lseek(fd, 65536, 0);
  S(sendfile(fd, g, &(off_t){0}, 10));
  say("sig %d\n", got);
  got = 0;
  int mf = memfd_create("x", 0);
  S(ftruncate(mf, 100000));
  say("sig %d\n", got);
  got = 0;
  rl.rlim_cur = RLIM_INFINITY;
  rl.rlim_cur = rl.rlim_max;
  setrlimit(RLIMIT_FSIZE, &rl);
  ftruncate(fd, 0);
  st(fd);
  fm(fd, 0);
  FA(K, 0, 8192);
  fm(fd, 1);
  S(ftruncate(fd, 0));
  st(fd);
  fm(fd, 1);
  pwrite(fd, "x", 1, 100000);
  st(fd);
  fm(fd, 0);
  map(fd);
  fsync(fd);
  fm(fd, 0);
  st(fd);
  S(lseek(fd, -1, SEEK_DATA));
  S(lseek(fd, 100001, SEEK_DATA));
  S(lseek(fd, 100001, SEEK_HOLE));
  S(lseek(fd, 100000, SEEK_HOLE));
  S(lseek(fd, 99999, SEEK_DATA));
  S(lseek(fd, 0, 5));
  S(lseek(fd, 0, -1));
  S(lseek(fd, 1L << 62, SEEK_SET));
  S(lseek(fd, -1, SEEK_SET));
  S(lseek(fd, 1L << 43, SEEK_SET));
  S(lseek(fd, 10, SEEK_END));
  S(lseek(fd, -200000, SEEK_CUR));
  S(lseek(fd, 0x7fffffffffffffff, SEEK_CUR));
  S(pwrite(fd, "x", 1, 0x7fffffffffffffff));
  S(pwrite(fd, "x", 1, 0x7ffffffffffffffe));
  S(pread(fd, &c, 1, 0x7fffffffffffffff));
  S(pwrite(fd, "x", 1, 1L << 44));
  S(ftruncate(fd, 1L << 44));
  S(ftruncate(fd, -1));
  S(ftruncate(open("f", O_RDONLY), 0));
  S(truncate(".", 0));
  S(truncate("none", 0));
  S(truncate("f", -1));
  S(ftruncate(open(".", O_RDONLY), 0));
  S(fallocate(open("f", O_RDONLY), 0, 0, 1));
  S(fallocate(open(".", O_RDONLY), 0, 0, 1));
  int pp[2];
  pipe(pp);
  S(fallocate(pp[1], 0, 0, 1));
  S(fallocate(open("/dev/null", O_RDWR), 0, 0, 1));
  S(lseek(open("/dev/null", O_RDWR), 5, 0));
  S(lseek(pp[0], 0, 0));
  S(ftruncate(pp[1], 0));
  S(ftruncate(open("/dev/null", O_RDWR), 0));
  S(truncate("/dev/null", 0));
  int fl;
  S(ioctl(fd, FIBMAP, (fl = 0, &fl)));
  S(ioctl(fd, FIGETBSZ, &fl));
  say("%d\n", fl);
  S(ioctl(fd, FS_IOC_GETFLAGS, &fl));
  say("flags %x\n", fl);
  S(ioctl(fd, FIONREAD, &fl));
  say("%d\n", fl);
  S(ioctl(fd, FIOQSIZE, &fl));
  S(ioctl(fd, FICLONE, g));
  S(ioctl(fd, 0x1234, 0));
  return 0;
}
