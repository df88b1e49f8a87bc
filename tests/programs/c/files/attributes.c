// stat, statx, statfs, readlink and their errors.
#include "files.h"
static void sx(const char *t, int d, const char *n, int fl, int mask) {
  struct statx x;
  memset(&x, 0x55, sizeof x);
  int r = statx(d, n, fl, mask, &x);
  if (r) {
    say("%s: %s\n", t, strerrorname_np(errno));
    return;
  }
  say("%s: mask %x blksize %x attr %llx nlink %d mode %o size %lld blocks %lld am %llx bt %d mnt %d spare %x dio %x %x rest %d\n",
      t, x.stx_mask, x.stx_blksize, (long long)x.stx_attributes, x.stx_nlink, x.stx_mode,
      (long long)(S_ISDIR(x.stx_mode) ? 0 : x.stx_size), (long long)x.stx_blocks, (long long)x.stx_attributes_mask,
      x.stx_btime.tv_sec != 0, x.stx_mnt_id != 0, ((int *)&x)[37], ((int *)&x)[38], ((int *)&x)[39],
      memcmp((char *)&x + 176, (char[80]){0}, 80) != 0);
}
int main(int c, char **v) {
  if (!start(c, v, "attributes")) return 1;
  int fd = mk("f", 5000);
  symlink("f", "s");
  symlink("/", "abs");
  char lng[2000];
  memset(lng, 'l', 1999);
  lng[1999] = 0;
  symlink(lng, "lng");
  mkdir("d", 0700);
  sx("f", AT_FDCWD, "f", 0, STATX_ALL);
  sx("basic", AT_FDCWD, "f", 0, STATX_BASIC_STATS);
  sx("0", AT_FDCWD, "f", 0, 0);
  sx("btime", AT_FDCWD, "f", 0, STATX_BTIME);
  sx("mnt", AT_FDCWD, "f", 0, 0x1000);
  sx("dio", AT_FDCWD, "f", 0, 0x2000);
  sx("umnt", AT_FDCWD, "f", 0, 0x4000);
  sx("subvol", AT_FDCWD, "f", 0, 0x8000);
  sx("atomic", AT_FDCWD, "f", 0, 0x10000);
  sx("all", AT_FDCWD, "f", 0, 0x7fffffff);
  sx("res", AT_FDCWD, "f", 0, 0x80000000);
  sx("fd", fd, "", AT_EMPTY_PATH, STATX_ALL);
  sx("empty", AT_FDCWD, "", 0, STATX_ALL);
  sx("cwd", AT_FDCWD, "", AT_EMPTY_PATH, 0);
  sx("s", AT_FDCWD, "s", AT_SYMLINK_NOFOLLOW, 0);
  sx("sync", AT_FDCWD, "f", AT_STATX_FORCE_SYNC, 0);
  sx("nosync", AT_FDCWD, "f", AT_STATX_DONT_SYNC, 0);
  sx("both", AT_FDCWD, "f", 0x6000, 0);
  sx("bad", AT_FDCWD, "f", 0x10000, 0);
  sx("null", fd, 0, AT_EMPTY_PATH, 0);
  sx("null0", fd, 0, 0, 0);
  sx("d", AT_FDCWD, "d", 0, 0);
  sx("dev", AT_FDCWD, "/dev/null", 0, 0);
  sx("proc", AT_FDCWD, "/proc/self/maps", 0, 0);
  int pp[2];
  pipe(pp);
  sx("pipe", pp[0], "", AT_EMPTY_PATH, STATX_ALL);
  int mf = memfd_create("a", 0);
  sx("memfd", mf, "", AT_EMPTY_PATH, STATX_ALL);
  sx("opath", open("f", O_PATH), "", AT_EMPTY_PATH, 0);
  struct stat s;
  S(fstatat(fd, "", &s, AT_EMPTY_PATH));
  S(fstatat(fd, "", &s, 0));
  S(fstatat(fd, "x", &s, 0));
  S(fstatat(AT_FDCWD, "f", &s, 0x80));
  S(syscall(SYS_newfstatat, fd, 0, &s, AT_EMPTY_PATH));
  S(syscall(SYS_newfstatat, AT_FDCWD, 0, &s, AT_EMPTY_PATH));
  S(stat("f/x", &s));
  S(stat("none", &s));
  S(lstat("s/", &s));
  S(stat("d/", &s));
  S(stat("f/", &s));
  S(lstat("lng", &s));
  say("%ld %ld\n", (long)s.st_size, (long)s.st_blocks);
  stat("d", &s);
  say("%o nlink %d size %ld blocks %ld blksize %ld\n", s.st_mode, (int)s.st_nlink, (long)s.st_size, (long)s.st_blocks,
      (long)s.st_blksize);
  lstat("s", &s);
  say("%o %ld %ld %ld\n", s.st_mode, (long)s.st_size, (long)s.st_blocks, (long)s.st_blksize);
  fstat(mf, &s);
  say("memfd %o nlink %d size %ld blk %ld dev %lx\n", s.st_mode, (int)s.st_nlink, (long)s.st_size, (long)s.st_blksize,
      (long)s.st_dev);
  fstat(pp[0], &s);
  say("pipe %o nlink %d size %ld blk %ld\n", s.st_mode, (int)s.st_nlink, (long)s.st_size, (long)s.st_blksize);
  char b[3000];
  S(readlink("s", b, 100));
  S(readlink("s", b, 0));
  S(readlink("f", b, 10));
  S(readlink("none", b, 10));
  S(readlink("lng", b, 3000));
  S(readlink("s", (char *)8, 10));
  int ol = open("s", O_PATH | O_NOFOLLOW);
  S(readlinkat(ol, "", b, 10));
  S(readlinkat(fd, "", b, 10));
  S(readlink("", b, 10));
  S(fchmod(open("f", O_PATH), 0600));
  S(fchmod(ol, 0600));
  S(fchmodat(AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW));
  sprintf(b, "/proc/self/fd/%d", ol);
  S(chmod(b, 0700));
  S(syscall(452, AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW));
  S(syscall(452, AT_FDCWD, "f", 0600, 0));
  S(lchown("s", 5, 6));
  lstat("s", &s);
  say("%d %d\n", s.st_uid, s.st_gid);
  S(fchownat(ol, "", 7, 8, AT_EMPTY_PATH));
  lstat("s", &s);
  say("%d %d\n", s.st_uid, s.st_gid);
  struct statfs f;
  statfs(".", &f);
  say("%lx bs %ld namelen %ld frsize %ld flags %lx\n", (long)f.f_type, (long)f.f_bsize, (long)f.f_namelen, (long)f.f_frsize,
      (long)f.f_flags & 0x1000);
  fstatfs(mf, &f);
  say("%lx bs %ld namelen %ld flags %lx blocks %ld\n", (long)f.f_type, (long)f.f_bsize, (long)f.f_namelen, (long)f.f_flags,
      (long)f.f_blocks);
  fstatfs(pp[0], &f);
  say("%lx bs %ld namelen %ld flags %lx\n", (long)f.f_type, (long)f.f_bsize, (long)f.f_namelen, (long)f.f_flags);
  statfs("/proc", &f);
  say("%lx bs %ld namelen %ld\n", (long)f.f_type, (long)f.f_bsize, (long)f.f_namelen);
  S(statfs("none", &f));
  S(fstatfs(open("f", O_PATH), &f));
  S(fstatfs(999, &f));
  return 0;
}
