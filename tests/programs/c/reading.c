// The file argv[1] read in every way; descriptors; what open, lseek, mmap and their like refuse. argv[2] is a directory.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
static unsigned h;
static void add(const void *p, long n) {
  const unsigned char *c = p;
  while (n-- > 0) h = h * 31 + *c++;
}
#define E(x)                                                                                                                   \
  do {                                                                                                                         \
    errno = 0;                                                                                                                 \
    long r_ = (x);                                                                                                             \
    printf("%s = %ld %s\n", #x, r_, errno ? strerrorname(errno) : "-");                                                        \
  } while (0)
static const char *strerrorname(int e) {
  static char b[8];
  sprintf(b, "%d", e);
  return b;
}
int main(int c, char **v) {
  static char b[70000];
  struct stat st;
  int fd = open(v[1], O_RDONLY);
  long n;
  fstat(fd, &st);
  printf("size %ld mode %o nlink %ld\n", (long)st.st_size, st.st_mode, (long)st.st_nlink);
  h = 0;
  while ((n = read(fd, b, 4097)) > 0) add(b, n);
  printf("read %x\n", h);
  h = 0;
  for (off_t o = 0; (n = pread(fd, b, 7777, o)) > 0; o += n) add(b, n);
  printf("pread %x\n", h);
  h = 0;
  lseek(fd, 0, SEEK_SET);
  struct iovec iv[3] = {{b, 10}, {b + 100, 5000}, {b + 10000, 1}};
  while ((n = readv(fd, iv, 3)) > 0) {
    long k = n;
    for (int i = 0; i < 3 && k > 0; i++) {
      long q = k < (long)iv[i].iov_len ? k : (long)iv[i].iov_len;
      add(iv[i].iov_base, q);
      k -= q;
    }
  }
  printf("readv %x\n", h);
  char *m = mmap(0, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  h = 0;
  add(m, st.st_size);
  printf("mmap %x\n", h);
  munmap(m, st.st_size);
  m = mmap(0, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 4096);
  m[0] ^= 1;
  h = 0;
  add(m, st.st_size - 4096);
  printf("private %x tail %d\n", h, m[(st.st_size - 4096) | 4095]);
  munmap(m, st.st_size);
  m = mmap(0, st.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  h = 0;
  add(m, st.st_size);
  printf("shared %x\n", h);
  E(mprotect(m, 4096, PROT_READ | PROT_WRITE));
  E(msync(m, 4096, MS_SYNC));
  E(madvise(m, 4096, MADV_WILLNEED));
  munmap(m, st.st_size);
  E(mmap(0, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  E(mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED);
  E(mmap(0, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
  FILE *f = fopen(v[1], "r");
  h = 0;
  while ((n = fread(b, 1, 333, f)) > 0) add(b, n);
  printf("fread %x %d\n", h, feof(f));
  fseek(f, -10, SEEK_END);
  printf("%ld %d\n", ftell(f), fgetc(f));
  fclose(f);
  E(lseek(fd, 0, SEEK_END));
  E(lseek(fd, -5, SEEK_CUR));
  E(lseek(fd, -1, SEEK_SET));
  E(lseek(fd, 100, SEEK_DATA));
  E(lseek(fd, 100, SEEK_HOLE));
  E(lseek(fd, 1L << 40, SEEK_DATA));
  E(lseek(fd, 0, 9));
  E(lseek(fd, 1L << 36, SEEK_SET));
  E(read(fd, b, 10));
  E(pread(fd, b, 10, -1));
  E(read(fd, (void *)1, 10));
  lseek(fd, 0, SEEK_SET);
  E(read(fd, (void *)1, 10));
  E(read(fd, b, -1));
  E(read(99, b, 1));
  E(write(fd, b, 1));
  E(ftruncate(fd, 1));
  E(readv(fd, iv, -1));
  E(readv(fd, iv, 1025));
  E(preadv(fd, iv, 3, 5));
  E(syscall(SYS_preadv2, fd, iv, 3, 5, 0, 0));
  E(syscall(SYS_preadv2, fd, iv, 3, -1, 0, 0));
  E(syscall(SYS_preadv2, fd, iv, 3, 0, 0, 0x1000));
  E(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
  E(posix_fadvise(fd, 0, 0, 77));
  E(syscall(SYS_readahead, fd, 0, 65536));
  E(syscall(SYS_readahead, 99, 0, 1));
  off_t o = 3;
  fflush(stdout);
  E(sendfile(1, fd, &o, 20));
  printf("%ld\n", (long)o);
  E(sendfile(99, fd, 0, 1));
  E(sendfile(1, 99, 0, 1));
  E(fcntl(fd, F_GETFL) & O_ACCMODE);
  E(fcntl(fd, F_GETFD));
  E(fcntl(fd, F_SETFD, FD_CLOEXEC));
  E(fcntl(fd, F_GETFD));
  int d;
  E(d = fcntl(fd, F_DUPFD, 50));
  E(dup2(fd, 60));
  E(lseek(60, 7, SEEK_SET));
  E(lseek(fd, 0, SEEK_CUR));
  E(dup2(fd, fd));
  E(dup3(fd, fd, 0));
  E(dup2(99, 5));
  E(dup2(fd, -1));
  E(close(60));
  E(close(60));
  E(fcntl(fd, 9999));
  E(fcntl(99, F_GETFL));
  E(fcntl(fd, F_DUPFD, -1));
  E(fcntl(fd, F_DUPFD, 1 << 30));
  E(flock(fd, 2 | 4));
  E(fsync(fd));
  E(fsync(99));
  struct flock fl = {F_RDLCK, SEEK_SET, 0, 10};
  E(fcntl(fd, F_GETLK, &fl));
  E(fl.l_type == F_UNLCK);
  E(ioctl(fd, 0x5401, b));
  E(isatty(fd));
  int dfd = open(v[2], O_RDONLY | O_DIRECTORY);
  E(read(dfd, b, 1));
  E(lseek(dfd, 0, SEEK_SET));
  E(mmap(0, 4096, PROT_READ, MAP_PRIVATE, dfd, 0) == MAP_FAILED);
  E(openat(dfd, "nope", O_RDONLY));
  E(open(v[2], O_WRONLY));
  E(open(v[1], O_RDONLY | O_DIRECTORY));
  E(openat(fd, "x", O_RDONLY));
  E(openat(99, "x", O_RDONLY));
  E(open("", O_RDONLY));
  E(open((char *)1, O_RDONLY));
  E(open(v[2], O_RDONLY | O_CREAT));
  E(open(v[1], O_RDONLY | O_CREAT | O_EXCL));
  int p = open(v[1], O_PATH);
  E(read(p, b, 1));
  E(fstat(p, &st));
  E(fcntl(p, F_GETFL) & O_PATH ? 1 : 0);
  E(mmap(0, 4096, PROT_READ, MAP_PRIVATE, p, 0) == MAP_FAILED);
  E(fchdir(p));
  E(fchdir(dfd));
  E(getcwd(b, 3) == 0);
  E(syscall(SYS_getcwd, b, 70000) > 0);
  E(syscall(SYS_getdents, fd, b, 1000));
  E(syscall(SYS_getdents64, dfd, b, 5));
  return 0;
}
