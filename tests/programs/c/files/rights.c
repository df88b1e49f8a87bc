// set-id bits, sticky directories, and the flags of open(2).
#include "files.h"
static void st(const char *t, const char *n) {
  struct stat s;
  if (stat(n, &s)) {
    printf("%s: %s\n", t, strerrorname_np(errno));
    return;
  }
  printf("%s: mode %o size %ld blocks %ld nlink %ld uid %d gid %d\n", t, s.st_mode, (long)s.st_size, (long)s.st_blocks,
         (long)s.st_nlink, s.st_uid, s.st_gid);
  fflush(stdout);
}
int main(int c, char **v) {
  if (!start(c, v, "rights")) return 1;
  int fd = mk("f", 10000);
  st("f", "f");
  chmod("f", 04755);
  chown("f", -1, -1);
  st("chown -1 -1", "f");
  chmod("f", 06755);
  chown("f", 0, 0);
  st("chown 0 0", "f");
  chmod("f", 02644);
  chown("f", 0, 0);
  st("chown 02644", "f");
  chmod("f", 06755);
  truncate("f", 100);
  st("truncate root", "f");
  chmod("f", 06777);
  pwrite(fd, "x", 1, 0);
  st("write root", "f");
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR);
    S(g >= 0);
    pwrite(g, "x", 1, 0);
    st("write user", "f");
    _exit(0);
  }
  wait(0);
  chmod("f", 06777);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR);
    ftruncate(g, 50);
    st("ftruncate user", "f");
    S(chown("f", -1, -1));
    _exit(0);
  }
  wait(0);
  chmod("f", 06777);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    S(truncate("f", 60));
    st("truncate user", "f");
    _exit(0);
  }
  wait(0);
  chmod("f", 06777);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR);
    S(fallocate(g, 0, 0, 20000));
    st("fallocate user", "f");
    _exit(0);
  }
  wait(0);
  chmod("f", 06777);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR);
    S(fallocate(g, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    st("punch user", "f");
    _exit(0);
  }
  wait(0);
  chmod("f", 06777);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR);
    char *m = mmap(0, 4096, 3, 1, g, 0);
    m[0] = 1;
    st("mmap store user", "f");
    _exit(0);
  }
  wait(0);
  chmod("f", 02766);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR);
    pwrite(g, "x", 1, 0);
    st("write user 02766", "f");
    _exit(0);
  }
  wait(0);
  chmod("f", 06777);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    int g = open("f", O_RDWR | O_TRUNC);
    st("O_TRUNC user", "f");
    _exit(0);
  }
  wait(0);
  // setgid dir
  mkdir("d", 0777);
  chmod("d", 02777);
  chown("d", 0, 500);
  chmod("d", 02777);
  st("d", "d");
  mkdir("d/s", 0755);
  st("d/s", "d/s");
  close(open("d/f", O_CREAT | O_RDWR, 02755));
  st("d/f root", "d/f");
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    close(open("d/g", O_CREAT | O_RDWR, 02755));
    st("d/g user", "d/g");
    mkdir("d/t", 02755);
    st("d/t user", "d/t");
    mknod("d/n", S_IFREG | 02775, 0);
    st("d/n", "d/n");
    close(open("d/h", O_CREAT | O_RDWR, 02745));
    st("d/h user", "d/h");
    S(chmod("d/g", 02777));
    st("chmod g", "d/g");
    _exit(0);
  }
  wait(0);
  // sticky
  mkdir("t", 0777);
  chmod("t", 01777);
  close(open("t/f", O_CREAT, 0666));
  chmod("t/f", 0666);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    S(unlink("t/f"));
    S(rename("t/f", "t/g"));
    S(chmod("t/f", 0777));
    S(chown("t/f", 1000, -1));
    S(utimensat(AT_FDCWD, "t/f", 0, 0));
    struct timespec ts[2] = {{1, 0}, {2, 0}};
    S(utimensat(AT_FDCWD, "t/f", ts, 0));
    ts[0].tv_nsec = UTIME_NOW;
    ts[1].tv_nsec = UTIME_OMIT;
    S(utimensat(AT_FDCWD, "t/f", ts, 0));
    ts[1].tv_nsec = UTIME_NOW;
    S(utimensat(AT_FDCWD, "t/f", ts, 0));
    ts[0].tv_nsec = ts[1].tv_nsec = UTIME_OMIT;
    S(utimensat(AT_FDCWD, "t/f", ts, 0));
    S(utimensat(AT_FDCWD, "t/none", ts, 0));
    S(open("t/f", O_RDONLY | O_NOATIME));
    int q = open("t/f", O_RDONLY);
    S(fcntl(q, F_SETFL, O_NOATIME));
    S(link("t/f", "t/l"));
    close(open("t/mine", O_CREAT, 0600));
    S(chown("t/mine", 1000, 1000));
    S(chown("t/mine", 0, 1000));
    S(chown("t/mine", -1, 0));
    chmod("t/mine", 06777);
    S(chown("t/mine", -1, 1000));
    st("mine", "t/mine");
    _exit(0);
  }
  wait(0);
  S(fcntl(fd, F_GETFL));
  S(fcntl(fd, F_SETFL, O_DIRECT));
  S(fcntl(fd, F_SETFL, 0));
  S(open("x/", O_CREAT | O_RDWR, 0644));
  S(open("y", O_CREAT | O_DIRECTORY | O_RDWR, 0644));
  st("y", "y");
  S(open("d", O_CREAT | O_DIRECTORY, 0644));
  S(open("d", O_CREAT | O_RDONLY, 0644));
  S(open("d", O_RDWR));
  S(open("d", O_TMPFILE));
  S(open("f", O_RDONLY | O_DIRECTORY));
  S(open("f/", O_RDONLY));
  S(open("f/..", O_RDONLY));
  S(open("", O_RDONLY));
  S(open("none/", O_CREAT | O_RDWR, 0600));
  S(open("f/", O_CREAT | O_RDWR, 0600));
  S(open("f", O_CREAT | O_EXCL | O_RDWR, 0600));
  symlink("f", "s");
  symlink("nn", "dang");
  symlink("loop", "loop");
  S(open("s", O_NOFOLLOW) >= 0);
  S(open("s", O_NOFOLLOW | O_PATH) >= 0);
  S(open("dang", O_RDONLY));
  S(open("dang", O_CREAT | O_EXCL, 0600));
  S(open("loop", O_RDONLY));
  S(open("dang", O_CREAT | O_RDWR, 0600) >= 0);
  st("nn", "nn");
  S(open("s", O_CREAT | O_NOFOLLOW | O_RDWR, 0600));
  S(open("f", 3) >= 0);
  int w3 = open("f", 3);
  S(read(w3, &c, 1));
  S(write(w3, &c, 1));
  S(fcntl(w3, F_GETFL));
  S(open("f", O_RDONLY | O_TRUNC) >= 0);
  S(access("f", 8));
  S(faccessat(AT_FDCWD, "s", F_OK, AT_SYMLINK_NOFOLLOW));
  S(syscall(SYS_faccessat2, AT_FDCWD, "f", 0, 0x10000));
  S(syscall(SYS_faccessat2, AT_FDCWD, "", 0, AT_EMPTY_PATH));
  S(syscall(SYS_faccessat2, fd, "", 0, AT_EMPTY_PATH));
  return 0;
}
