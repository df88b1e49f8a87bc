// Walks the tree argv[1]: readdir, glob, nftw, links, names that must fail, attributes.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#define E(x)                                                                                                                   \
  do {                                                                                                                         \
    errno = 0;                                                                                                                 \
    long r_ = (x);                                                                                                             \
    printf("%s = %ld %d\n", #x, r_, errno);                                                                                    \
  } while (0)
static char lines[50][100];
static int nlines;
static int one(const char *p, const struct stat *s, int t, struct FTW *f) {
  snprintf(lines[nlines++], 100, "%s %d %d %o %ld\n", p + f->base, t, f->level, s->st_mode,
           S_ISREG(s->st_mode) ? (long)s->st_size : 0L);
  return 0;
}
static int names(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
int main(int c, char **v) {
  if (chdir(v[1])) perror("chdir");
  char b[PATH_MAX + 1000];
  struct stat st;
  struct dirent **l;
  static char xl[200];
  int n = scandir(".", &l, 0, names);
  for (int i = 0; i < n; i++) printf("%s %d\n", l[i]->d_name, l[i]->d_type);
  DIR *d = opendir(".");
  int k = 0;
  long pos = 0;
  struct dirent *e;
  char third[256] = "";
  while ((e = readdir(d))) {
    if (++k == 2) pos = telldir(d);
    if (k == 3) strcpy(third, e->d_name);
  }
  printf("%d\n", k == n);
  seekdir(d, pos);
  e = readdir(d);
  printf("%d\n", e && !strcmp(e->d_name, third));
  rewinddir(d);
  printf("%d\n", readdir(d) != 0);
  printf("%d\n", dirfd(d) > 2);
  closedir(d);
  glob_t g;
  printf("%d\n", glob("*/f*", 0, 0, &g));
  for (size_t i = 0; i < g.gl_pathc; i++) puts(g.gl_pathv[i]);
  E(stat("link", &st));
  printf("%o\n", st.st_mode);
  E(lstat("link", &st));
  printf("%o %ld\n", st.st_mode & S_IFMT, (long)st.st_size);
  E(stat("dangling", &st));
  E(lstat("dangling", &st));
  E(stat("loop1", &st));
  E(open("loop1", O_RDONLY));
  E(open("link", O_RDONLY | O_NOFOLLOW));
  E(open("link", O_PATH | O_NOFOLLOW) > 0);
  E(open("dirlink", O_RDONLY | O_DIRECTORY) > 0);
  E(open("dirlink", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  E(open("dirlink/", O_RDONLY | O_NOFOLLOW) > 0);
  E(readlink("link", b, 3));
  E(readlink("link", b, sizeof b));
  E(readlink("file", b, 10));
  E(readlink("link", b, 0));
  E(readlinkat(99, "link", b, 10));
  E(open("file/", O_RDONLY));
  E(open("file/x", O_RDONLY));
  E(open("nope/x", O_RDONLY));
  E(open("dir/../file", O_RDONLY) > 0);
  E(open("dir/./f1", O_RDONLY) > 0);
  E(open("dirlink/../file", O_RDONLY) > 0);
  memset(b, 'x', 300);
  b[300] = 0;
  E(open(b, O_RDONLY));
  b[255] = 0;
  E(open(b, O_RDONLY));
  for (int i = 0; i < 4200; i++) b[i] = i % 2 ? '/' : '.';
  b[4200] = 0;
  E(open(b, O_RDONLY));
  b[4094] = 0;
  E(open(b, O_RDONLY | O_DIRECTORY) > 0);
  b[4095] = 0;
  E(access(b, F_OK));
  E(access("file", R_OK));
  E(access("file", X_OK));
  E(access("script", X_OK));
  E(access("nope", F_OK));
  E(access("file", 8));
  E(faccessat(AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW));
  E(faccessat(AT_FDCWD, "dangling", F_OK, 0));
  E(faccessat(AT_FDCWD, "file", R_OK, AT_EACCESS));
  E(realpath("dirlink/../link", b) != 0);
  puts(strrchr(b, '/'));
  E(realpath("loop1", b) == 0);
  E(realpath("nope/x", b) == 0);
  E(chdir("file"));
  E(chdir("nope"));
  E(chdir("dirlink"));
  E(getcwd(b, sizeof b) != 0);
  puts(strrchr(b, '/'));
  E(chdir(".."));
  E(access("file", F_OK));
  E(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
  E(fstatat(AT_FDCWD, "", &st, 0));
  E(fstatat(AT_FDCWD, "file", &st, 0x80000));
  struct statfs sf;
  E(statfs("nope", &sf));
  E(statfs(".", &sf));
  unsigned char sx[256];
  E(syscall(SYS_statx, AT_FDCWD, "file", 0, 0xfff, sx));
  printf("%o %d\n", *(unsigned short *)(sx + 28), *(int *)(sx + 40));
  E(syscall(SYS_statx, AT_FDCWD, "file", 0, 0x80000000, sx));
  E(getxattr("nope", "user.none", b, 10));
  E(getxattr("file", "bogus.none", b, 10));
  E(getxattr("file", "", b, 10));
  E(listxattr("/proc/self/status", b, 0));
  E(getxattr("/proc/self/status", "user.x", b, 9));
  E(mkdir("file", 0777));
  E(mkdir("dir", 0777));
  E(mkdir("nope/x", 0777));
  E(mkdir("file/x", 0777));
  E(mkdir("/", 0777));
  E(mknod("x", S_IFDIR, 0));
  E(mknod("x", 0170000, 0));
  E(link("nope", "x"));
  E(linkat(AT_FDCWD, "file", AT_FDCWD, "x", 0x4000));
  E(unlinkat(AT_FDCWD, "nope", 0x4000));
  E(rename("nope/a", "x"));
  E(symlink("a", "file"));
  E(truncate("nope", 0));
  E(truncate("dir", 0));
  E(truncate("file", -1));
  E(chmod("nope", 0));
  E(rmdir("nope/x"));
  E(unlink("nope/x"));
  E(unlink("file/x"));
  E(unlink(""));
  E(rmdir("dir/."));
  E(syscall(SYS_renameat2, -100, "a", -100, "b", 99));
  E(umask(022) >= 0);
  E(nftw(".", one, 5, FTW_PHYS));
  qsort(lines, nlines, 100, (void *)strcmp);
  for (int i = 0; i < nlines; i++) printf("%s", lines[i]);
  return 0;
}
