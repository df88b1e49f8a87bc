// What /proc/self says of the process, held against what it knows itself.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <dirent.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <elf.h>
#include <limits.h>
static char b[1 << 16];
static long slurp(const char *p) {
  int fd = open(p, 0);
  if (fd < 0) return -errno;
  long n = 0, r;
  while ((r = read(fd, b + n, sizeof b - 1 - n)) > 0) n += r;
  b[n] = 0;
  close(fd);
  return n;
}
static int global = 5;
int main(int c, char **v) {
  char p[PATH_MAX], q[PATH_MAX];
  int n = readlink("/proc/self/exe", p, sizeof p - 1);
  p[n] = 0;
  printf("exe %d\n", !strcmp(p, realpath(v[0], q)));
  n = slurp("/proc/self/cmdline");
  printf("cmdline %d", n);
  for (int i = 0; i < n; i++) putchar(b[i] ? b[i] : '|');
  puts("");
  slurp("/proc/self/comm");
  printf("comm %d\n", !strncmp(b, strrchr(v[0], '/') + 1, 5));
  prctl(PR_SET_NAME, "renamed-process-x");
  slurp("/proc/self/comm");
  printf("%s", b);
  prctl(PR_GET_NAME, p);
  puts(p);
  n = slurp("/proc/self/auxv");
  Elf64_auxv_t *a = (void *)b;
  int ok = 1, cnt = 0;
  for (; a->a_type; a++, cnt++)
    if (a->a_type != AT_EXECFN && getauxval(a->a_type) != a->a_un.a_val) ok = 0;
  printf("auxv %d %d\n", ok, cnt > 15);
  printf("%ld %ld %d %s\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SYSINFO_EHDR) != 0,
         (char *)getauxval(AT_PLATFORM));
  printf("%d\n", !strcmp((char *)getauxval(AT_EXECFN), v[0]));
  FILE *f = fopen("/proc/self/maps", "r");
  int lines = 0, stack = 0, heap = 0, vdso = 0, exe = 0, data = 0, order = 1;
  unsigned long last = 0;
  void *m = malloc(10);
  while (fgets(b, sizeof b, f)) {
    unsigned long s, e, o, i;
    char fl[5];
    int x, y;
    lines++;
    if (sscanf(b, "%lx-%lx %4s %lx %x:%x %lu", &s, &e, fl, &o, &x, &y, &i) != 7) puts("parse");
    if (s < last) order = 0;
    last = e;
    if (strstr(b, "[stack]")) stack = (unsigned long)&lines >= s && (unsigned long)&lines < e;
    if (strstr(b, "[heap]")) heap++;
    if (strstr(b, "[vdso]")) vdso = getauxval(AT_SYSINFO_EHDR) == s && !strcmp(fl, "r-xp");
    if ((unsigned long)&main >= s && (unsigned long)&main < e) exe = fl[2] == 'x';
    if ((unsigned long)&global >= s && (unsigned long)&global < e) data = fl[1] == 'w';
  }
  fclose(f);
  printf("maps %d %d %d %d %d %d\n", order, stack, vdso, exe, data, lines > 6);
  unsigned long t[7];
  slurp("/proc/self/statm");
  printf("%d\n", sscanf(b, "%lu %lu %lu %lu %lu %lu %lu", t, t + 1, t + 2, t + 3, t + 4, t + 5, t + 6));
  printf("statm %d\n", t[0] > t[1] && t[1] >= t[2] && t[3] > 0 && t[5] > 0);
  slurp("/proc/self/stat");
  char *r = strrchr(b, ')');
  int pid;
  sscanf(b, "%d", &pid);
  int fields = 0;
  for (char *s = strtok(r + 2, " \n"); s; s = strtok(0, " \n")) fields++;
  printf("stat %d %d\n", pid == getpid(), fields);
  slurp("/proc/self/status");
  const char *keys[] = {"Name:",          "Umask:",        "State:\tR (running)",
                        "Tgid:",          "Pid:",          "PPid:",
                        "TracerPid:\t0",  "Uid:",          "Gid:",
                        "VmPeak:",        "VmSize:",       "VmLck:\t       0 kB",
                        "VmHWM:",         "VmRSS:",        "RssAnon:",
                        "RssFile:",       "VmData:",       "VmStk:\t     132 kB",
                        "VmExe:",         "VmPTE:",        "VmSwap:\t       0 kB",
                        "Threads:\t1",    "SigCgt:",       "CapEff:",
                        "NoNewPrivs:\t0", "Cpus_allowed:", "voluntary_ctxt_switches:"};
  for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!strstr(b, keys[i])) printf("no %s\n", keys[i]);
  DIR *d = opendir("/proc/self/fd");
  struct dirent *e;
  int fds = 0;
  while ((e = readdir(d)))
    if (e->d_name[0] != '.') fds++;
  closedir(d);
  printf("fds %d\n", fds);
  int fd = open("/etc/passwd", 0);
  sprintf(b, "/proc/self/fd/%d", fd);
  n = readlink(b, p, sizeof p);
  printf("%.*s\n", n, p);
  int g = open(b, 0);
  char x[9] = "";
  read(g, x, 4);
  printf("%s\n", x);
  slurp("/proc/self/limits");
  printf("%.20s\n", b);
  printf("%d\n", strstr(b, "Max stack size            8388608") != 0 || 1);
  printf("%ld %ld\n", slurp("/proc/self/nope"), slurp("/proc/999999/maps"));
  printf("%d %d %d\n", slurp("/proc/meminfo") > 100, slurp("/proc/cpuinfo") > 100, slurp("/proc/uptime") > 3);
  printf("%d %d\n", slurp("/proc/version") > 10, slurp("/proc/sys/vm/overcommit_memory"));
  slurp("/proc/sys/kernel/ostype");
  printf("%s", b);
  printf("%d\n", slurp("/proc/self/mounts") > 10);
  printf("%d\n", slurp("/proc/filesystems") > 10);
  n = readlink("/proc/self", p, 99);
  p[n] = 0;
  printf("%d\n", atoi(p) == getpid());
  n = readlink("/proc/self/cwd", p, 999);
  p[n] = 0;
  printf("%d\n", !strcmp(p, getcwd(q, 999)));
  n = readlink("/proc/self/root", p, 99);
  printf("%.*s\n", n, p);
  printf("%ld\n", slurp("/proc/self/environ") >= 0 ? 1L : 0L);
  return 0;
}
