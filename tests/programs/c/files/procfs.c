// what can be written to, sought in and read of procfs, and by whom.
#include "files.h"
static void wr(const char *f, const char *t) {
  int d = open(f, O_WRONLY | O_TRUNC | O_CREAT, 0644);
  errno = 0;
  long r = write(d, t, strlen(t));
  say("write %s <%s> %ld %s\n", f, t[0] == '\n' ? "nl" : t, r, r < 0 ? strerrorname_np(errno) : "");
  close(d);
}
static void cat(const char *f) {
  char b[200];
  int d = open(f, O_RDONLY);
  if (d < 0) {
    say("%s %s\n", f, strerrorname_np(errno));
    return;
  }
  int n = read(d, b, 199);
  b[n > 0 ? n : 0] = 0;
  say("%s: %s", f, b);
  close(d);
}
int main(int c, char **v) {
  if (!start(c, v, "procfs")) return 1;
  char b[4096];
  cat("/proc/self/comm");
  wr("/proc/self/comm", "newname\n");
  cat("/proc/self/comm");
  wr("/proc/self/comm", "averylongnamethatiscut");
  cat("/proc/self/comm");
  wr("/proc/self/comm", "");
  cat("/proc/self/comm");
  wr("/proc/self/oom_score_adj", "100");
  cat("/proc/self/oom_score_adj");
  wr("/proc/self/oom_score_adj", "1001");
  wr("/proc/self/oom_score_adj", "-1000");
  wr("/proc/self/oom_score_adj", "x");
  wr("/proc/self/oom_score_adj", "0\n");
  wr("/proc/self/clear_refs", "1");
  wr("/proc/self/clear_refs", "9");
  wr("/proc/sys/vm/overcommit_memory", "1");
  cat("/proc/sys/vm/overcommit_memory");
  wr("/proc/sys/vm/overcommit_memory", "3");
  wr("/proc/sys/vm/overcommit_memory", "0");
  wr("/proc/sys/vm/drop_caches", "3");
  wr("/proc/sys/vm/max_map_count", "65530");
  cat("/proc/sys/vm/max_map_count");
  wr("/proc/sys/vm/max_map_count", "abc");
  wr("/proc/sys/vm/max_map_count", "1 2");
  wr("/proc/sys/vm/max_map_count", "65530 ");
  wr("/proc/sys/kernel/randomize_va_space", "2");
  wr("/proc/self/maps", "x");
  wr("/proc/meminfo", "x");
  wr("/proc/self/nothing", "x");
  wr("/proc/nothing", "x");
  int d = open("/proc/self/maps", O_RDONLY);
  S(lseek(d, 0, SEEK_END));
  S(lseek(d, 10, SEEK_SET));
  S(read(d, b, 20));
  S(pread(d, b, 10, 0));
  S(lseek(d, 0, SEEK_CUR));
  S(mmap(0, 4096, 1, MAP_PRIVATE, d, 0) == MAP_FAILED);
  S(fsync(d));
  struct stat s;
  fstat(d, &s);
  say("%o %ld %ld\n", s.st_mode, (long)s.st_size, (long)s.st_blksize);
  d = open("/proc/self/mem", O_RDWR);
  S(lseek(d, 0, SEEK_END));
  d = open("/proc/self/pagemap", O_RDONLY);
  S(lseek(d, 0, SEEK_END));
  S(read(d, b, 7));
  S(pread(d, b, 8, 1));
  S(pread(d, b, 8, 0));
  S(pread(d, b, 8, 1L << 50));
  d = open("/proc/kpageflags", O_RDONLY);
  S(read(d, b, 7));
  S(pread(d, b, 8, 4));
  S(pread(d, b, 16, 0));
  S(pread(d, b, 8, 1L << 50));
  d = open("/proc/self/smaps", O_RDONLY);
  S(read(d, b, 0));
  S(read(d, (void *)8, 10));
  S(read(d, b, 1));
  cat("/proc/sys/kernel/ostype");
  S(access("/proc/self/environ", R_OK));
  S(access("/proc/self/mem", W_OK));
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    S(open("/proc/self/maps", 0) >= 0);
    S(open("/proc/self/environ", 0) >= 0);
    char q[50];
    sprintf(q, "/proc/%d/maps", getppid());
    S(open(q, 0));
    sprintf(q, "/proc/%d/mem", getppid());
    S(open(q, 0));
    sprintf(q, "/proc/%d/status", getppid());
    S(open(q, 0) >= 0);
    sprintf(q, "/proc/%d/fd", getppid());
    S(open(q, 0));
    sprintf(q, "/proc/%d/exe", getppid());
    S(readlink(q, b, 100));
    sprintf(q, "/proc/%d/cwd", getppid());
    S(chdir(q));
    sprintf(q, "/proc/%d/pagemap", getppid());
    S(open(q, 0));
    S(open("/proc/kpageflags", 0));
    S(open("/proc/sys/vm/drop_caches", O_WRONLY));
    S(open("/proc/sys/vm/overcommit_memory", O_RDWR));
    int pm = open("/proc/self/pagemap", O_RDONLY);
    uint64_t e = 0;
    pread(pm, &e, 8, (long)&e / 4096 * 8);
    say("pfn hidden %d\n", (e & ((1UL << 55) - 1)) == 0);
    _exit(0);
  }
  wait(0);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    char *a[] = {"/bin/true", 0};
    S(open("/proc/self/mem", 0));
    _exit(0);
  }
  wait(0);
  return 0;
}
