// SIGINT from outside. argv[1]: the handler (none, once, restart, ignore), argv[2]: what is interrupted (spin, read).
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static volatile sig_atomic_t count;
static void handler(int s) {
  write(1, s == SIGINT ? "SIGINT\n" : "?\n", s == SIGINT ? 7 : 2);
  count++;
}
int main(int c, char **v) {
  struct sigaction a = {.sa_handler = handler};
  if (!strcmp(v[1], "restart")) a.sa_flags = SA_RESTART;
  if (!strcmp(v[1], "ignore")) a.sa_handler = SIG_IGN;
  if (strcmp(v[1], "none")) sigaction(SIGINT, &a, 0);
  write(1, "ready\n", 6);
  if (!strcmp(v[2], "spin"))
    while (!count) {}
  char b[8];
  errno = 0;
  ssize_t n = strcmp(v[2], "read") ? 0 : read(0, b, sizeof b);
  printf("%zd %d %d\n", n, errno, (int)count);
  return 5;
}
