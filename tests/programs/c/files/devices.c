// st_blocks, O_DIRECT, memory devices, shared positions, utimensat, locked memory.
#include "files.h"
#include <sys/socket.h>
static void bl(const char *t, int fd) {
  struct stat s;
  fstat(fd, &s);
  say("%-28s size %ld blocks %ld\n", t, (long)s.st_size, (long)s.st_blocks);
}
#define B(e)                                                                                                                     \
  do {                                                                                                                           \
    e;                                                                                                                           \
    bl(#e, fd);                                                                                                                  \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "devices")) return 1;
  static char b[1 << 17];
  memset(b, 'k', sizeof b);
  long p = 4096;
  int fd = open("f", O_RDWR | O_CREAT, 0644);
  B(pwrite(fd, b, 1, 0));
  B(pwrite(fd, b, 1, 10 * p));
  B(fsync(fd));
  B(pwrite(fd, b, p, 5 * p));
  B(ftruncate(fd, 6 * p));
  B(ftruncate(fd, 100 * p));
  B(fallocate(fd, 0, 0, 20 * p));
  B(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3 * p));
  B(fsync(fd));
  B(ftruncate(fd, 0));
  B(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8 * p));
  B(pwrite(fd, b, 3 * p, 0));
  B(fsync(fd));
  B(ftruncate(fd, 3 * p));
  char *m = mmap(0, 10 * p, 3, MAP_SHARED, fd, 0);
  B(m[0] = 1);
  B(ftruncate(fd, 10 * p));
  B(m[5 * p] = 1);
  volatile char x;
  B(x = m[6 * p]);
  B(msync(m, 10 * p, MS_SYNC));
  B(madvise(m, 3 * p, MADV_REMOVE));
  say("%d\n", m[0]);
  B(posix_fallocate(fd, 0, 50 * p));
  munmap(m, 10 * p);
  ftruncate(fd, 0);
  // direct
  int d = open("f", O_RDWR | O_DIRECT);
  void *q;
  posix_memalign(&q, p, 65536);
  memset(q, 'D', 65536);
  if (d < 0)
    say("no direct\n");
  else {
    bl("d", fd);
    P("w4096", pwrite(d, q, 4096, 0));
    bl("after", fd);
    P("w512", pwrite(d, q, 512, 4096));
    bl("after", fd);
    P("w100", pwrite(d, q, 100, 0));
    P("w512@1", pwrite(d, q, 512, 1));
    P("w buf+1", pwrite(d, (char *)q + 1, 512, 0));
    P("w buf+512", pwrite(d, (char *)q + 512, 512, 512));
    P("w buf+4", pwrite(d, (char *)q + 4, 4096, 0));
    P("r4096@0", pread(d, q, 4096, 0));
    P("r8192@4096", pread(d, q, 8192, 4096));
    P("r@eof", pread(d, q, 4096, 8192));
    P("r beyond", pread(d, q, 4096, 1 << 20));
    P("r100", pread(d, q, 100, 0));
    P("r0", pread(d, q, 0, 0));
    P("w hole", pwrite(d, q, 4096, 1 << 20));
    bl("after", fd);
    P("w 12288@4096", pwrite(d, q, 12288, 4096));
    bl("after", fd);
    P("append", (fcntl(d, F_SETFL, O_DIRECT | O_APPEND), write(d, q, 512)));
    bl("after", fd);
    struct iovec io[2] = {{q, 512}, {(char *)q + 4096, 512}};
    P("writev", pwritev(d, io, 2, 0));
    io[1].iov_len = 100;
    P("writev100", pwritev(d, io, 2, 0));
    P("readv", preadv(d, io, 1, 0));
    P("rwf nowait", preadv2(d, io, 1, 0, RWF_NOWAIT));
  }
  // devices
  int z = open("/dev/zero", O_RDWR), n = open("/dev/null", O_RDWR), fu = open("/dev/full", O_RDWR),
      r = open("/dev/urandom", O_RDWR);
  S(read(z, b, 100));
  say("%d\n", b[0]);
  S(write(z, b, 100));
  S(pread(z, b, 10, 1000));
  S(lseek(z, 100, 0));
  S(lseek(n, 100, SEEK_END));
  S(read(n, b, 10));
  S(write(n, (void *)8, 10));
  S(write(fu, b, 10));
  S(write(fu, b, 0));
  S(read(fu, b, 10));
  S(read(r, b, 10));
  S(write(r, b, 10));
  S(pwrite(r, b, 10, 5));
  S(lseek(r, 5, 0));
  S(read(z, (void *)8, 10));
  S(readv(z, &(struct iovec){b, 10}, 1));
  S(ftruncate(z, 0));
  S(fsync(z));
  S(ioctl(z, FIONREAD, b));
  struct stat s;
  fstat(n, &s);
  say("%o %lx %ld\n", s.st_mode, (long)s.st_rdev, (long)s.st_size);
  S(open("/dev/null/x", 0));
  S(open("/dev/null", O_RDWR | O_TRUNC) >= 0);
  S(open("/dev/null", O_DIRECTORY));
  S(open("/dev/null", O_CREAT | O_RDWR, 0) >= 0);
  S(open("/dev/null", O_CREAT | O_EXCL | O_RDWR, 0));
  S(open("/dev/null", O_DIRECT));
  S(posix_fadvise(z, 0, 0, POSIX_FADV_WILLNEED));
  S(fchmod(n, 0666));
  S(sendfile(n, fd, &(off_t){0}, 10));
  S(copy_file_range(fd, 0, n, 0, 10, 0));
  // offsets shared
  fd = mk("g", 100);
  int e = dup(fd);
  lseek(fd, 10, 0);
  S(lseek(e, 0, 1));
  if (fork() == 0) {
    lseek(fd, 50, 0);
    _exit(0);
  }
  wait(0);
  S(lseek(fd, 0, 1));
  int h = open("g", O_RDWR);
  S(lseek(h, 0, 1));
  S(read(e, b, 10));
  S(lseek(fd, 0, 1));
  S(pread(fd, b, 10, 0));
  S(lseek(fd, 0, 1));
  S(fcntl(e, F_SETFL, O_APPEND));
  S(fcntl(fd, F_GETFL) & O_APPEND);
  S(write(fd, "x", 1));
  S(lseek(fd, 0, 1));
  S(lseek(fd, 0, 0));
  S(write(fd, "x", 1));
  S(lseek(fd, 0, 1));
  // utimes
  symlink("g", "s");
  struct timespec ts[2] = {{5, 6}, {7, 8}};
  S(utimensat(AT_FDCWD, "s", ts, AT_SYMLINK_NOFOLLOW));
  lstat("s", &s);
  say("%ld.%ld %ld.%ld\n", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  S(futimens(fd, ts));
  stat("g", &s);
  say("%ld.%ld %ld.%ld\n", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  struct timeval tv[2] = {{1, 2}, {3, 4}};
  S(utimes("g", tv));
  tv[0].tv_usec = 1000000;
  S(utimes("g", tv));
  S(utimensat(AT_FDCWD, "g", (void *)8, 0));
  S(utimensat(AT_FDCWD, 0, ts, 0));
  S(utimensat(fd, 0, ts, AT_SYMLINK_NOFOLLOW));
  S(utimensat(fd, "", ts, AT_EMPTY_PATH));
  S(utimensat(AT_FDCWD, "g", ts, 0x80));
  S(utimensat(open("g", O_PATH), "", ts, AT_EMPTY_PATH));
  S(futimens(open("g", O_PATH), ts));
  S(futimens(open("g", O_RDONLY), ts));
  ts[0].tv_sec = -5;
  S(futimens(fd, ts));
  stat("g", &s);
  say("%ld\n", (long)s.st_atim.tv_sec);
  // msync / mlock
  m = mmap(0, 4 * p, 3, MAP_SHARED, fd, 0);
  mlock(m, p);
  S(msync(m, p, MS_INVALIDATE));
  S(msync(m + p, p, MS_INVALIDATE));
  S(msync(m, p, MS_SYNC | MS_INVALIDATE));
  S(munlock(m, p));
  S(msync(m, p, MS_INVALIDATE));
  struct rlimit rl = {8192, 8192};
  if (fork() == 0) {
    setrlimit(RLIMIT_MEMLOCK, &rl);
    setgid(1000);
    setuid(1000);
    char *a = mmap(0, 4 * p, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    S(mlock(a, 2 * p));
    S(mlock(a, 3 * p));
    S(mlock(a, p));
    S(mmap(0, p, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED);
    S(munlock(a, p));
    S(mmap(0, p, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED);
    S(mlockall(MCL_CURRENT));
    S(mlockall(MCL_FUTURE));
    S(mmap(0, 2 * p, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    rl.rlim_cur = 0;
    setrlimit(RLIMIT_MEMLOCK, &rl);
    S(mlock(a, p));
    S(shmctl(shmget(IPC_PRIVATE, 4096, 0600), SHM_LOCK, 0));
    _exit(0);
  }
  wait(0);
  return 0;
}
