// seals of a memfd, by write, mmap, mprotect and fallocate.
#include "files.h"
static sigjmp_buf jb;
static void h(int s) { siglongjmp(jb, s); }
#define TRY(e)                                                                                                                   \
  do {                                                                                                                           \
    int s_ = sigsetjmp(jb, 1);                                                                                                   \
    if (!s_) {                                                                                                                   \
      e;                                                                                                                         \
      say("%s ok\n", #e);                                                                                                        \
    } else                                                                                                                       \
      say("%s signal %d\n", #e, s_);                                                                                             \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "seals")) return 1;
  signal(SIGSEGV, h);
  signal(SIGBUS, h);
  char b[8192];
  int fd = memfd_create("a", MFD_ALLOW_SEALING);
  ftruncate(fd, 8192);
  S(fcntl(fd, F_GET_SEALS));
  char *m = mmap(0, 8192, 3, MAP_SHARED, fd, 0);
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  S(fcntl(fd, F_GET_SEALS));
  TRY(m[0] = 1);
  S(write(fd, "x", 1));
  S(mmap(0, 8192, 3, MAP_SHARED, fd, 0) == MAP_FAILED);
  char *r = mmap(0, 8192, 1, MAP_SHARED, fd, 0);
  S(r == MAP_FAILED);
  S(mprotect(r, 8192, 3));
  S(mprotect(m, 4096, 1));
  S(mprotect(m, 4096, 3));
  char *p = mmap(0, 8192, 3, MAP_PRIVATE, fd, 0);
  S(p == MAP_FAILED);
  TRY(p[0] = 5);
  S(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  S(ftruncate(fd, 4096));
  S(ftruncate(fd, 8192));
  S(madvise(m, 4096, MADV_REMOVE));
  S(madvise(r, 4096, MADV_REMOVE));
  munmap(m, 8192);
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  fd = memfd_create("b", MFD_ALLOW_SEALING);
  ftruncate(fd, 8192);
  r = mmap(0, 8192, 1, MAP_SHARED, fd, 0);
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  munmap(r, 8192);
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  r = mmap(0, 8192, 1, MAP_SHARED, fd, 0);
  S(r == MAP_FAILED);
  if (r != MAP_FAILED) {
    S(mprotect(r, 8192, 3));
  }
  p = mmap(0, 8192, 3, MAP_PRIVATE, fd, 0);
  S(p == MAP_FAILED);
  if (p != MAP_FAILED) TRY(p[0] = 1);
  S(ftruncate(fd, 100));
  S(write(fd, "x", 1));
  S(pwrite(fd, "x", 0, 0));
  S(fallocate(fd, 0, 0, 8192));
  S(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  fd = memfd_create("c", MFD_ALLOW_SEALING);
  ftruncate(fd, 8192);
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  S(ftruncate(fd, 8193));
  S(ftruncate(fd, 8192));
  S(pwrite(fd, b, 10, 8190));
  S(pwrite(fd, b, 2, 8190));
  S(pwrite(fd, b, 8192, 4096));
  S(fallocate(fd, 0, 0, 8193));
  S(fallocate(fd, 0, 0, 8192));
  S(fallocate(fd, 1, 8192, 4096));
  S(fallocate(fd, 1, 0, 4096));
  S(lseek(fd, 0, SEEK_END));
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  S(ftruncate(fd, 100));
  S(ftruncate(fd, 8192));
  S(fcntl(fd, F_ADD_SEALS, 0x40));
  S(fcntl(fd, F_ADD_SEALS, 0));
  S(fcntl(fd, F_ADD_SEALS, 0x20));
  S(fcntl(fd, F_GET_SEALS));
  S(fchmod(fd, 0600));
  S(fchmod(fd, 0700));
  char path[50];
  sprintf(path, "/proc/self/fd/%d", fd);
  int ro = open(path, O_RDONLY);
  S(ro >= 0);
  S(fcntl(ro, F_ADD_SEALS, F_SEAL_WRITE));
  S(fcntl(ro, F_GET_SEALS));
  S(open(path, O_RDWR | O_TRUNC));
  S(close(open(path, O_RDWR)));
  fd = memfd_create("d", 0);
  S(fcntl(fd, F_GET_SEALS));
  S(fcntl(fd, F_ADD_SEALS, 0));
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  int f = mk("f", 10);
  S(fcntl(f, F_GET_SEALS));
  S(fcntl(f, F_ADD_SEALS, 1));
  int pp[2];
  pipe(pp);
  S(fcntl(pp[1], F_ADD_SEALS, 1));
  S(fcntl(pp[0], F_GET_SEALS));
  S(memfd_create("x", 0x100));
  memset(b, 'n', 300);
  b[249] = 0;
  S(memfd_create(b, 0) >= 0);
  b[249] = 'n';
  b[250] = 0;
  S(memfd_create(b, 0));
  S(memfd_create((char *)8, 0));
  S(memfd_create("", 0) >= 0);
  S(memfd_create("e", 8) >= 0);
  S(memfd_create("e", 16) >= 0);
  S(memfd_create("e", 24));
  int e = memfd_create("e", 8 | 2);
  struct stat s;
  if (e >= 0) {
    fstat(e, &s);
    say("%o\n", s.st_mode);
    S(fcntl(e, F_GET_SEALS));
    S(fchmod(e, 0755));
    S(fchmod(e, 0666));
    S(mmap(0, 4096, PROT_EXEC | PROT_READ, MAP_SHARED, e, 0) != MAP_FAILED);
  }
  e = memfd_create("e", 0);
  fstat(e, &s);
  say("%o\n", s.st_mode);
  S(fcntl(e, F_GETFL));
  S(fcntl(e, F_GETFD));
  ftruncate(e, 4096);
  m = mmap(0, 8192, 3, MAP_SHARED, e, 0);
  TRY(m[0] = 1);
  TRY(m[4096] = 1);
  TRY(c = m[4096]);
  ftruncate(e, 8192);
  TRY(m[4096] = 1);
  ftruncate(e, 0);
  TRY(c = m[0]);
  ftruncate(e, 8192);
  TRY(say("%d\n", m[4096]));
  fd = memfd_create("w", MFD_ALLOW_SEALING);
  ftruncate(fd, 8192);
  m = mmap(0, 8192, 3, MAP_SHARED, fd, 0);
  if (fork() == 0) {
    munmap(m, 8192);
    S(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    _exit(0);
  }
  wait(0);
  munmap(m, 8192);
  S(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  // mseal-less: mprotect of RO-opened file
  int rf = open("f", O_RDONLY);
  r = mmap(0, 4096, 1, MAP_SHARED, rf, 0);
  S(mprotect(r, 4096, 3));
  S(mmap(0, 4096, 3, MAP_SHARED, rf, 0) == MAP_FAILED);
  S(mmap(0, 4096, 3, MAP_PRIVATE, rf, 0) == MAP_FAILED);
  int wf = open("f", O_WRONLY);
  S(mmap(0, 4096, 2, MAP_SHARED, wf, 0) == MAP_FAILED);
  S(mmap(0, 4096, 2, MAP_PRIVATE, wf, 0) == MAP_FAILED);
  S(mmap(0, 4096, 0, MAP_PRIVATE, wf, 0) == MAP_FAILED);
  return 0;
}
