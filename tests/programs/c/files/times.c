// which of atime, mtime and ctime each operation changes.
#include "files.h"
#define TS(t) ((t).tv_sec * 1000000000L + (t).tv_nsec)
static struct stat A;
static const char *F = "f";
static void zz(void) {
  struct timespec t = {0, 25000000};
  nanosleep(&t, 0);
}
static void B4(void) {
  stat(F, &A);
  zz();
}
static void AF(const char *t) {
  struct stat b;
  zz();
  stat(F, &b);
  printf("%-34s %s%s%s\n", t, TS(b.st_atim) != TS(A.st_atim) ? "a" : "-", TS(b.st_mtim) != TS(A.st_mtim) ? "m" : "-",
         TS(b.st_ctim) != TS(A.st_ctim) ? "c" : "-");
  fflush(stdout);
}
#define T(e)                                                                                                                     \
  do {                                                                                                                           \
    B4();                                                                                                                        \
    e;                                                                                                                           \
    AF(#e);                                                                                                                      \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "times")) return 1;
  int fd = mk("f", 10000);
  char b[8192];
  int d = mk("g", 4096);
  T(read(fd, b, 0));
  T(pread(fd, b, 10, 0));
  T(pread(fd, b, 10, 0));
  T(pwrite(fd, b, 0, 0));
  T(pwrite(fd, b, 1, 0));
  T(pread(fd, b, 10, 20000));
  T(pread(fd, b, 10, 0));
  zz();
  T(pwrite(fd, b, 1, 0));
  char *m = mmap(0, 8192, 3, MAP_SHARED, fd, 0);
  AF("mmap");
  T(m[0]);
  T(m[0] = 1);
  T(m[1] = 2);
  T(m[4096] = 1);
  T(msync(m, 8192, MS_SYNC));
  T(m[0] = 3);
  T(msync(m, 8192, MS_ASYNC));
  T(m[0] = 4);
  T(fsync(fd));
  T(m[0] = 5);
  T(munmap(m, 8192));
  T(m = mmap(0, 8192, 3, MAP_PRIVATE, fd, 0));
  T(m[0] = 1);
  munmap(m, 8192);
  T(ftruncate(fd, 10000));
  T(ftruncate(fd, 9000));
  T(ftruncate(fd, 20000));
  T(truncate("f", 20000));
  T(truncate("f", 19000));
  T(truncate("f", 21000));
  T(close(open("f", O_RDWR | O_TRUNC)));
  T(close(open("f", O_RDWR | O_TRUNC)));
  T(fallocate(fd, 0, 0, 8192));
  T(fallocate(fd, 0, 0, 8192));
  T(fallocate(fd, 0, 0, 12288));
  T(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40960));
  T(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40960));
  pwrite(fd, b, 8192, 0);
  T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096));
  T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096));
  T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096));
  T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 5, 10));
  T(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
  T(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096));
  T(chmod("f", 0644));
  T(chown("f", 0, 0));
  T(chown("f", -1, -1));
  T(link("f", "l"));
  T(unlink("l"));
  T(rename("f", "f2"); rename("f2", "f"));
  T(access("f", 4));
  T(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
  T(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
  T(readahead(fd, 0, 4096));
  T(utimensat(AT_FDCWD, "f", 0, 0));
  struct timespec ts[2] = {{100, 5}, {200, 7}};
  T(utimensat(AT_FDCWD, "f", ts, 0));
  struct stat s;
  stat("f", &s);
  say("%ld %ld %ld %ld\n", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  ts[0].tv_nsec = UTIME_NOW;
  ts[1].tv_nsec = UTIME_OMIT;
  T(utimensat(AT_FDCWD, "f", ts, 0));
  ts[0].tv_nsec = UTIME_OMIT;
  T(utimensat(AT_FDCWD, "f", ts, 0));
  ts[0].tv_nsec = 1000000000;
  S(utimensat(AT_FDCWD, "f", ts, 0));
  ts[0].tv_nsec = 0;
  ts[0].tv_sec = 1L << 40;
  ts[1].tv_nsec = 0;
  ts[1].tv_sec = -(1L << 40);
  S(utimensat(AT_FDCWD, "f", ts, 0));
  stat("f", &s);
  say("%ld %ld %ld %ld\n", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  utimensat(AT_FDCWD, "f", 0, 0);
  pwrite(fd, b, 1, 0);
  int na = open("f", O_RDWR | O_NOATIME);
  T(pread(na, b, 10, 0));
  T(m = mmap(0, 4096, 1, 1, na, 0));
  T(pread(fd, b, 10, 0));
  zz();
  pwrite(fd, b, 1, 0);
  int dd = open("f", O_RDWR | O_DIRECT);
  void *p;
  posix_memalign(&p, 4096, 8192);
  if (dd >= 0) {
    T(pread(dd, p, 4096, 0));
    pwrite(dd, p, 4096, 0);
    T(pwrite(dd, p, 4096, 0));
    T(pread(dd, p, 4096, 1 << 20));
  }
  pwrite(fd, b, 8192, 0);
  T(sendfile(d, fd, &(off_t){0}, 4096));
  pwrite(fd, b, 1, 0);
  loff_t o1 = 0, o2 = 0;
  T(copy_file_range(fd, &o1, d, &o2, 4096, 0));
  F = "g";
  T(sendfile(d, fd, &(off_t){0}, 4096));
  o1 = o2 = 0;
  T(copy_file_range(fd, &o1, d, &o2, 4096, 0));
  F = ".";
  T(close(open("n", O_CREAT, 0600)));
  T(unlink("n"));
  T(mkdir("n", 0700));
  T(rmdir("n"));
  T(link("f", "l"));
  T(rename("l", "l2"));
  T(rename("l2", "f"));
  T(symlink("a", "sl"));
  T(readlink("sl", b, 10));
  T(close(open("f", O_CREAT | O_RDWR, 0600)));
  T(open(".", O_TMPFILE | O_RDWR, 0600));
  DIR *D;
  T(D = opendir("."); while (readdir(D)); closedir(D));
  T(chdir("."));
  T(close(open("f", O_CREAT | O_EXCL | O_RDWR, 0600)));
  mkdir("sub", 0700);
  F = "sub";
  T(rename("sub", "sub2"); rename("sub2", "sub"));
  mkdir("o", 0700);
  T(rename("sub", "o/sub"); rename("o/sub", "sub"));
  return 0;
}
