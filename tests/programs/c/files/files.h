// What the programs of this folder share. Each makes a directory in the one that it is given, and says what each call returned.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <sys/fsuid.h>
#include <time.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/fiemap.h>
#include <dirent.h>
static long rc(long r) { return r < 0 ? -(long)errno : r; }
#define P(name, expr)                                                                                                            \
  do {                                                                                                                           \
    errno = 0;                                                                                                                   \
    long r_ = (long)(expr);                                                                                                      \
    printf("%-40s %ld%s%s\n", name, r_, r_ == -1 ? " " : "", r_ == -1 ? strerrorname_np(errno) : "");                            \
    fflush(stdout);                                                                                                              \
  } while (0)
#define S(e) P(#e, e)
static int mk(const char *n, int size) {
  int fd = open(n, O_RDWR | O_CREAT | O_TRUNC, 0644);
  char *b = malloc(size + 1);
  for (int i = 0; i < size; i++) b[i] = 'a' + i % 26;
  if (size && write(fd, b, size) != size) perror("mk");
  free(b);
  return fd;
}
static void say(const char *f, ...) {
  va_list a;
  va_start(a, f);
  vprintf(f, a);
  va_end(a);
  fflush(stdout);
}
static int start(int argc, char **argv, const char *name) {
  char p[300];
  snprintf(p, 300, "%s/%s.%d", argv[1], name, getpid());
  umask(022);
  if (mkdir(p, 0755) || chdir(p)) {
    perror(p);
    return 0;
  }
  return chmod(p, 0777) == 0;
}
