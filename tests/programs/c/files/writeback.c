// dirty_expire_centisecs, dirty_writeback_centisecs and the limits of dirty memory.
#include "files.h"
static void set(const char *n, const char *v) {
  char p[100];
  sprintf(p, "/proc/sys/vm/%s", n);
  int f = open(p, O_WRONLY);
  errno = 0;
  long r = f < 0 ? -1 : write(f, v, strlen(v));
  if (r < 0) say("%s=%s: %s\n", n, v, strerrorname_np(errno));
  close(f);
}
static long dirty(void) {
  char b[8192];
  int f = open("/proc/meminfo", O_RDONLY);
  int n = read(f, b, 8191);
  b[n] = 0;
  close(f);
  char *q = strstr(b, "\nDirty:");
  return atol(q + 7);
}
static void ms(int n) {
  struct timespec t = {n / 1000, n % 1000 * 1000000L};
  nanosleep(&t, 0);
}
static int pm, kf;
static int isdirty(void *p) {
  uint64_t e, f;
  pread(pm, &e, 8, (uintptr_t)p / 4096 * 8);
  if (!(e >> 63)) return -1;
  pread(kf, &f, 8, (e & ((1UL << 55) - 1)) * 8);
  return f >> 4 & 1;
}
int main(int c, char **v) {
  if (!start(c, v, "writeback")) return 1;
  static char b[1 << 20];
  memset(b, 1, sizeof b);
  pm = open("/proc/self/pagemap", O_RDONLY);
  kf = open("/proc/kpageflags", O_RDONLY);
  sync();
  set("dirty_writeback_centisecs", "50");
  set("dirty_expire_centisecs", "200");
  int fd = mk("f", 8192);
  char *m = mmap(0, 8192, 3, MAP_SHARED, fd, 0);
  volatile char x = m[0] + m[4096];
  say("%d\n", isdirty(m));
  ms(800);
  say("0.8s %d\n", isdirty(m));
  ms(2500);
  say("3.3s %d\n", isdirty(m));
  m[0] = 1;
  say("store %d\n", isdirty(m));
  ms(500);
  m[4096] = 1;
  ms(700);
  say("1.2s %d %d\n", isdirty(m), isdirty(m + 4096));
  ms(2500);
  say("3.7s %d %d\n", isdirty(m), isdirty(m + 4096));
  set("dirty_writeback_centisecs", "0");
  pwrite(fd, b, 8192, 0);
  ms(3500);
  say("off %d\n", isdirty(m));
  fsync(fd);
  set("dirty_writeback_centisecs", "50");
  set("dirty_expire_centisecs", "3000");
  set("dirty_background_bytes", "1048576");
  int g = mk("g", 0);
  for (int i = 0; i < 3; i++) {
    pwrite(g, b, 1 << 18, (long)i << 18);
  }
  ms(1500);
  for (int i = 3; i < 8; i++) pwrite(g, b, 1 << 18, (long)i << 18);
  ms(1500);
  say("above %d\n", dirty() <= 1200);
  set("dirty_bytes", "100");
  set("dirty_bytes", "8192");
  set("dirty_ratio", "101");
  set("dirty_background_ratio", "101");
  set("dirty_background_ratio", "-1");
  set("dirty_expire_centisecs", "x");
  set("dirty_writeback_centisecs", "-5");
  set("dirty_bytes", "4194304");
  int h = mk("h", 0);
  for (int i = 0; i < 40; i++) pwrite(h, b, 1 << 18, (long)i << 18);
  say("throttled %d\n", dirty() <= 4200);
  char t[100];
  for (const char **n = (const char *[]){"dirty_ratio", "dirty_bytes", "dirty_background_ratio", "dirty_background_bytes", 0}; *n;
       n++) {
    sprintf(t, "/proc/sys/vm/%s", *n);
    int f = open(t, O_RDONLY);
    int k = read(f, t, 99);
    t[k] = 0;
    say("%s %s", *n, t);
    close(f);
  }
  set("dirty_ratio", "20");
  set("dirty_background_ratio", "10");
  for (const char **n = (const char *[]){"dirty_ratio", "dirty_bytes", "dirty_background_ratio", "dirty_background_bytes", 0}; *n;
       n++) {
    sprintf(t, "/proc/sys/vm/%s", *n);
    int f = open(t, O_RDONLY);
    int k = read(f, t, 99);
    t[k] = 0;
    say("%s %s", *n, t);
    close(f);
  }
  set("dirty_expire_centisecs", "3000");
  set("dirty_writeback_centisecs", "500");
  return 0;
}
