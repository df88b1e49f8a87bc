// mmap of all kinds of files with all kinds of flags; execve of what cannot be executed.
#include "files.h"
#define M(l, p, f, fd, o)                                                                                                        \
  do {                                                                                                                           \
    errno = 0;                                                                                                                   \
    void *r_ = mmap(0, l, p, f, fd, o);                                                                                          \
    say("mmap(%s,%s,%s,%s,%s) %s\n", #l, #p, #f, #fd, #o, r_ == MAP_FAILED ? strerrorname_np(errno) : "ok");                     \
    if (r_ != MAP_FAILED) munmap(r_, l);                                                                                         \
  } while (0)
int main(int c, char **v) {
  if (!start(c, v, "mappings")) return 1;
  int fd = mk("f", 10000), ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), op = open("f", O_PATH), dir = open(".", O_RDONLY),
      nul = open("/dev/null", O_RDWR), zer = open("/dev/zero", O_RDWR), zro = open("/dev/zero", O_RDONLY),
      ran = open("/dev/urandom", O_RDONLY), maps = open("/proc/self/maps", O_RDONLY), mem = open("/proc/self/mem", O_RDWR),
      pgm = open("/proc/self/pagemap", O_RDONLY), full = open("/dev/full", O_RDWR);
  int pp[2];
  pipe(pp);
#define RW 3
#define S_ MAP_SHARED
#define P_ MAP_PRIVATE
  M(4096, RW, S_, fd, 0);
  M(4096, RW, S_, ro, 0);
  M(4096, 1, S_, wo, 0);
  M(4096, 2, P_, wo, 0);
  M(4096, 1, P_, op, 0);
  M(4096, 1, P_, dir, 0);
  M(4096, RW, P_, nul, 0);
  M(4096, RW, S_, nul, 0);
  M(4096, RW, P_, zer, 0);
  M(4096, RW, S_, zer, 0);
  M(4096, RW, S_, zro, 0);
  M(4096, 1, S_, zro, 0);
  M(4096, RW, P_, zro, 0);
  M(4096, 1, P_, ran, 0);
  M(4096, 1, P_, maps, 0);
  M(4096, 1, P_, mem, 0);
  M(4096, 1, P_, pgm, 0);
  M(4096, 1, P_, full, 0);
  M(4096, 1, P_, pp[0], 0);
  M(4096, 1, P_, pp[1], 0);
  M(4096, 1, P_, 999, 0);
  M(4096, 1, P_, -1, 0);
  M(0, 1, P_, fd, 0);
  M(4096, 1, 0, fd, 0);
  M(4096, 1, S_ | P_, fd, 0);
  M(4096, 1, MAP_SHARED_VALIDATE, fd, 0);
  M(4096, 1, MAP_SHARED_VALIDATE | 0x1000000, fd, 0);
  M(4096, 1, S_ | 0x1000000, fd, 0);
  M(4096, 1, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  M(4096, 1, S_ | MAP_SYNC, fd, 0);
  M(4096, 1, P_ | MAP_SYNC, fd, 0);
  M(4096, 1, S_, fd, 1);
  M(4096, 1, S_, fd, -4096);
  M(4096, 1, S_, fd, 0x7ffffffffffff000);
  M(8192, 1, S_, fd, 0x7ffffffffffff000);
  M(4096, 1, S_, fd, 1L << 44);
  M(4096, 1, P_ | MAP_ANONYMOUS, fd, 1);
  M(4096, 1, P_ | MAP_ANONYMOUS, 999, 4096);
  M(1L << 47, 1, P_ | MAP_ANONYMOUS, -1, 0);
  M(-1L, 1, P_ | MAP_ANONYMOUS, -1, 0);
  M(4096, 8, P_ | MAP_ANONYMOUS, -1, 0);
  M(4096, 0x1000, P_ | MAP_ANONYMOUS, -1, 0);
  M(4096, 5, P_, ro, 0);
  M(4096, 7, S_, fd, 0);
  M(4096, 1, P_ | MAP_DENYWRITE | MAP_EXECUTABLE, fd, 0);
  M(4096, 3, P_ | MAP_GROWSDOWN, fd, 0);
  M(4096, 3, P_ | MAP_GROWSDOWN | MAP_ANONYMOUS, -1, 0);
  M(4096, 3, S_ | MAP_GROWSDOWN | MAP_ANONYMOUS, -1, 0);
  M(4096, 3, P_ | MAP_HUGETLB, fd, 0);
  M(4096, 3, P_ | MAP_HUGETLB | MAP_ANONYMOUS, -1, 0);
  M(4096, 3, P_ | MAP_LOCKED, fd, 0);
  M(4096, 3, P_ | MAP_NORESERVE, fd, 0);
  M(4096, 3, P_ | MAP_STACK, fd, 0);
  // txtbsy
  char exe[300];
  ssize_t n = readlink("/proc/self/exe", exe, 299);
  exe[n] = 0;
  S(open(exe, O_RDWR));
  S(open(exe, O_RDONLY | O_TRUNC));
  S(truncate(exe, 0));
  S(unlink("none"));
  {
    int in = open("/proc/self/exe", O_RDONLY);
    int o = open("cp", O_RDWR | O_CREAT, 0755);
    static char bb[1 << 20];
    ssize_t k;
    while ((k = read(in, bb, sizeof bb)) > 0) write(o, bb, k);
    char *a[] = {"./cp", 0}, *e[] = {0};
    S(execve("./cp", a, e));
    S(fallocate(o, 0, 0, 10));
    close(o);
  }
  S(execve("f", (char *[]){"f", 0}, 0));
  chmod("f", 0755);
  S(execve("f", (char *[]){"f", 0}, 0));
  S(execve("none", (char *[]){"f", 0}, 0));
  S(execve(".", (char *[]){"f", 0}, 0));
  S(execve("f/x", (char *[]){"f", 0}, 0));
  S(execve("/proc/self/maps", (char *[]){"f", 0}, 0));
  S(execve("/dev/null", (char *[]){"f", 0}, 0));
  S(execve("", (char *[]){"f", 0}, 0));
  close(fd);
  close(wo);
  close(open("e", O_CREAT | O_RDWR, 0755));
  S(execve("e", (char *[]){"f", 0}, 0));
  int s = open("sc", O_CREAT | O_RDWR, 0755);
  write(s, "#!", 2);
  close(s);
  S(execve("sc", (char *[]){"f", 0}, 0));
  s = open("sc", O_RDWR | O_TRUNC, 0755);
  write(s, "#!/none\n", 8);
  close(s);
  S(execve("sc", (char *[]){"f", 0}, 0));
  s = open("sc", O_RDWR | O_TRUNC, 0755);
  write(s, "#!./sc\n", 7);
  close(s);
  S(execve("sc", (char *[]){"f", 0}, 0));
  return 0;
}
