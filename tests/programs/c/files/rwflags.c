// preadv2 and pwritev2, O_APPEND, copy_file_range, sendfile, sync_file_range, posix_fadvise.
#include "files.h"
#include <sys/sysinfo.h>
#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
int main(int c, char **v) {
  if (!start(c, v, "rwflags")) return 1;
  int fd = mk("f", 20000);
  char b[70000];
  struct iovec io = {b, 100};
  memset(b, 'z', sizeof b);
#define PR(f) P("preadv2 " #f, preadv2(fd, &io, 1, 0, f))
  PR(0);
  PR(RWF_HIPRI);
  PR(RWF_DSYNC);
  PR(RWF_SYNC);
  PR(RWF_NOWAIT);
  PR(RWF_APPEND);
  PR(0x20);
  PR(0x40);
  PR(0x80);
  PR(0x100);
  PR(0x1000);
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  PR(RWF_NOWAIT);
  S(preadv2(fd, &io, 1, 4096, RWF_NOWAIT));
  S(preadv2(fd, &io, 1, 20000, RWF_NOWAIT));
  S(preadv2(fd, &io, 1, 30000, RWF_NOWAIT));
  pread(fd, b, 1, 0);
  PR(RWF_NOWAIT);
  io.iov_len = 70000;
  PR(RWF_NOWAIT);
  S(preadv2(fd, &io, 1, 16384, RWF_NOWAIT));
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  posix_fadvise(fd, 0, 4096, POSIX_FADV_RANDOM);
  pread(fd, b, 1, 4096);
  PR(RWF_NOWAIT);
  S(preadv2(fd, &io, 1, 4096, RWF_NOWAIT));
  S(preadv2(fd, &io, 1, 8191, RWF_NOWAIT));
  io.iov_len = 100;
  S(pwritev2(fd, &io, 1, 0, RWF_NOWAIT));
  S(pwritev2(fd, &io, 1, 0, RWF_APPEND));
  S(lseek(fd, 0, SEEK_END));
  S(lseek(fd, 5, SEEK_SET));
  S(pwritev2(fd, &io, 1, -1, RWF_APPEND));
  S(lseek(fd, 0, SEEK_CUR));
  S(pwritev2(fd, &io, 1, -1, 0));
  S(lseek(fd, 0, SEEK_CUR));
  S(pwritev2(fd, &io, 1, -2, 0));
  S(pwritev2(fd, &io, 1, 0, RWF_DSYNC));
  S(pwritev2(fd, &io, 1, 0, RWF_SYNC));
  S(pwritev2(fd, &io, 1, 0, RWF_HIPRI));
  S(pwritev2(fd, &io, 1, 0, 0x20));
  S(pwritev2(fd, &io, 1, 0, 0x40));
  S(pwritev2(fd, &io, 1, 0, 0x80));
  S(pwritev2(fd, &io, 1, 0, 0x40000));
  S(pwritev2(fd, &io, 1, 0, RWF_APPEND | 0x20));
  int ap = open("f", O_WRONLY | O_APPEND);
  S(pwrite(ap, "x", 1, 0));
  S(lseek(ap, 0, SEEK_CUR));
  S(write(ap, "x", 1));
  S(lseek(ap, 0, SEEK_CUR));
  S(lseek(ap, 3, SEEK_SET));
  S(write(ap, "x", 0));
  S(lseek(ap, 0, SEEK_CUR));
  S(pwritev2(ap, &io, 1, 0, 0x20));
  struct stat s;
  fstat(fd, &s);
  say("%ld\n", (long)s.st_size);
  int ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), op = open("f", O_PATH), dir = open(".", O_RDONLY);
  S(write(ro, b, 1));
  S(write(ro, b, 0));
  S(read(wo, b, 1));
  S(read(wo, b, 0));
  S(read(op, b, 1));
  S(read(dir, b, 1));
  S(pread(dir, b, 1, 0));
  S(readv(dir, &io, 1));
  S(write(dir, b, 1));
  S(readv(fd, &io, 0));
  S(readv(fd, &io, -1));
  S(readv(fd, &io, 1025));
  S(readv(fd, 0, 1));
  S(readv(fd, 0, 0));
  io.iov_len = -1L;
  S(readv(fd, &io, 1));
  io.iov_len = 0x7fffffffffffffff;
  S(readv(fd, &io, 1));
  io.iov_base = 0;
  io.iov_len = 0;
  S(readv(fd, &io, 1));
  io.iov_base = (void *)8;
  io.iov_len = 10;
  lseek(fd, 0, 0);
  S(readv(fd, &io, 1));
  S(writev(fd, &io, 1));
  S(preadv(fd, &io, 1, -1));
  S(pread(fd, b, 1, -1));
  S(pwrite(fd, b, 1, -1));
  S(read(fd, (void *)-1, 1));
  S(read(fd, b, -1));
  S(write(fd, (void *)0xffffffff80000000, 1));
  S(read(fd, b, 0));
  S(read(999, b, 0));
  S(read(-1, b, 0));
  int pp[2];
  pipe(pp);
  S(pread(pp[0], b, 1, 0));
  S(pwrite(pp[1], b, 1, 0));
  S(preadv2(pp[0], &(struct iovec){b, 1}, 1, -1, RWF_NOWAIT));
  S(posix_fadvise(pp[0], 0, 0, 0));
  S(posix_fadvise(fd, 0, 0, 77));
  S(posix_fadvise(fd, 0, -1, 0));
  S(posix_fadvise(dir, 0, 0, POSIX_FADV_WILLNEED));
  S(posix_fadvise(op, 0, 0, 0));
  S(posix_fadvise(fd, 0, 0, POSIX_FADV_NOREUSE));
  S(readahead(fd, 0, -1));
  S(readahead(wo, 0, 1));
  S(readahead(dir, 0, 1));
  S(readahead(pp[0], 0, 1));
  S(readahead(fd, -1, 1));
  S(readahead(op, 0, 1));
  S(readahead(open("/dev/null", O_RDONLY), 0, 1));
  S(sync_file_range(fd, 0, 0, 0));
  S(sync_file_range(fd, 0, 0, 7));
  S(sync_file_range(fd, 0, 0, 8));
  S(sync_file_range(fd, -1, 0, 0));
  S(sync_file_range(fd, 0, -1, 0));
  S(sync_file_range(pp[0], 0, 0, 7));
  S(sync_file_range(ro, 0, 0, 7));
  S(sync_file_range(dir, 0, 0, 7));
  S(sync_file_range(op, 0, 0, 7));
  S(sync_file_range(open("/dev/null", O_RDWR), 0, 0, 7));
  S(fsync(pp[0]));
  S(fsync(op));
  S(fsync(dir));
  S(fdatasync(ro));
  S(fsync(open("/dev/null", O_RDWR)));
  S(fsync(open("/proc/self/maps", O_RDONLY)));
  S(syncfs(dir));
  S(syncfs(op));
  S(syncfs(pp[0]));
  int g = mk("g", 0);
  loff_t o;
#define CF(i, oi, o_, oo, l, f)                                                                                                  \
  do {                                                                                                                           \
    loff_t a = oi, z = oo;                                                                                                       \
    errno = 0;                                                                                                                   \
    long r = copy_file_range(i, &a, o_, &z, l, f);                                                                               \
    say("cfr(%s %s) %ld %s a %ld z %ld\n", #i "," #oi "," #o_, #oo "," #l "," #f, r, r < 0 ? strerrorname_np(errno) : "",        \
        (long)a, (long)z);                                                                                                       \
  } while (0)
  CF(fd, 0, g, 0, 5000, 0);
  CF(fd, 0, g, 0, 5000, 1);
  CF(fd, 0, fd, 100, 50, 0);
  CF(fd, 0, fd, 100, 500, 0);
  CF(fd, 0, fd, 30000, 100, 0);
  CF(fd, 1000000, g, 0, 10, 0);
  CF(dir, 0, g, 0, 1, 0);
  CF(fd, 0, dir, 0, 1, 0);
  CF(pp[0], 0, g, 0, 1, 0);
  CF(fd, 0, pp[1], 0, 1, 0);
  CF(wo, 0, g, 0, 1, 0);
  CF(fd, 0, ro, 0, 1, 0);
  CF(fd, 0, ap, 0, 1, 0);
  CF(fd, -1, g, 0, 1, 0);
  CF(fd, 0, g, -1, 1, 0);
  CF(fd, 0, g, 0x7ffffffffffffffe, 10, 0);
  CF(fd, 0, g, 0, 0, 0);
  CF(fd, 0, fd, 0, 0, 0);
  CF(op, 0, g, 0, 1, 0);
  CF(fd, 0, g, 1L << 45, 1, 0);
  CF(fd, 0, g, 0, -1, 0);
  int mf = memfd_create("m", 0);
  CF(fd, 0, mf, 0, 100, 0);
  CF(mf, 0, fd, 0, 100, 0);
  int pm = open("/proc/self/maps", O_RDONLY);
  CF(pm, 0, g, 0, 100, 0);
  S(copy_file_range(fd, (void *)8, g, 0, 1, 0));
  lseek(fd, 0, 0);
  lseek(g, 0, 0);
  S(copy_file_range(fd, 0, g, 0, 100, 0));
  S(lseek(fd, 0, 1));
  S(lseek(g, 0, 1));
#define SF(o_, i, off, n)                                                                                                        \
  do {                                                                                                                           \
    off_t q = off;                                                                                                               \
    errno = 0;                                                                                                                   \
    long r = sendfile(o_, i, off == -2 ? 0 : &q, n);                                                                             \
    say("sf(%s) %ld %s off %ld\n", #o_ "," #i "," #off "," #n, r, r < 0 ? strerrorname_np(errno) : "", (long)q);                 \
  } while (0)
  lseek(fd, 0, 0);
  lseek(g, 0, 0);
  SF(g, fd, -2, 100);
  S(lseek(fd, 0, 1));
  SF(g, fd, 5, 100);
  S(lseek(fd, 0, 1));
  SF(g, fd, -1, 100);
  SF(g, fd, 1000000, 100);
  SF(ap, fd, 0, 100);
  SF(g, dir, 0, 1);
  SF(dir, fd, 0, 1);
  SF(ro, fd, 0, 1);
  SF(g, wo, 0, 1);
  SF(g, pp[0], -2, 1);
  SF(pp[1], fd, 0, 100);
  SF(pp[1], fd, 0, 0);
  SF(g, g, 0, 10);
  SF(g, op, 0, 1);
  SF(g, pm, 0, 10);
  SF(g, pm, -2, 10);
  SF(mf, fd, 0, 100);
  SF(g, mf, 0, 100);
  SF(g, fd, 0, -1);
  SF(999, fd, 0, 1);
  SF(g, open("/dev/zero", O_RDONLY), -2, 10);
  SF(open("/dev/null", O_WRONLY), fd, 0, 100);
  return 0;
}
