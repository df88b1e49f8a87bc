// argv[1] bytes and more in odd pieces by write, writev and stdio. With argv[2] SIGPIPE is ignored.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <sys/uio.h>
int main(int c, char **v) {
  long n = atol(v[1]), done = 0;
  if (c > 2) signal(SIGPIPE, SIG_IGN);
  char *b = malloc(300000);
  for (int i = 0; i < 300000; i++) b[i] = "abcdefghijklmnopqrstuvwxyz\n"[i % 27];
  for (int k = 1; done < n; k = k * 7 % 100003 + 1) {
    struct iovec iv[4] = {{b, k}, {b + 5, 0}, {b + k % 27, k / 2}, {b, 1}};
    long r = k % 3 ? writev(1, iv, 4) : write(1, b, k);
    if (r < 0) {
      fprintf(stderr, "%s\n", strerror(errno));
      return 9;
    }
    done += r;
  }
  for (int i = 0; i < 20000; i++)
    if (printf("%d ", i) < 0) return 8;
  if (fflush(stdout)) {
    fprintf(stderr, "flush %s\n", strerror(errno));
    return 7;
  }
  return 0;
}
