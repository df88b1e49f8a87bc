// String functions right before a forbidden page; accesses across pages; buffers that end in the void.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <wchar.h>
#include <unistd.h>
int main(void) {
  char *p = mmap(0, 5 * 4096, 3, 34, -1, 0);
  setvbuf(stdout, 0, _IONBF, 0);
  mprotect(p + 2 * 4096, 4096, 0);
  mprotect(p + 4 * 4096, 4096, 0);
  char *end = p + 8192, *e2 = p + 4 * 4096;
  int bad = 0;
  for (int n = 1; n < 200; n++) {
    char *s = end - n, *t = e2 - n;
    memset(s, 'a', n);
    s[n - 1] = 0;
    if (strlen(s) != n - 1) bad++;
    memcpy(t, s, n);
    if (memcmp(t, s, n) || strcmp(t, s) || strncmp(t, s, n)) bad++;
    if (memchr(s, 'x', n) || strchr(s, 'x') || strrchr(s, 'x')) bad++;
    if (memchr(s, 0, n) != s + n - 1) bad++;
    if (strnlen(s, n + 50) != n - 1) bad++;
    strcpy(t, s);
    stpcpy(t, s);
    if (n > 4) {
      memmove(s, s + 1, n - 1);
      memmove(s + 1, s, n - 2);
      if (strstr(s, "zz")) bad++;
    }
    char *d = strdup(s);
    if (strcmp(d, s)) bad++;
    free(d);
    memset(t, n, n);
    for (int i = 0; i < n; i++)
      if (t[i] != (char)n) bad++;
    memset(s, 0, n);
    if (memchr(s, 0, n) != s) bad++;
  }
  for (int o = 1; o < 32; o++) {
    long *l = (long *)(p + 4096 - o);
    *l = 0x1122334455667788;
    if (*l != 0x1122334455667788) bad++;
    __int128 *q = (void *)(p + 4096 - o);
    long double *x = (void *)(p + 4096 - o);
    *x = 1.5L * o;
    if (*x != 1.5L * o) bad++;
    asm volatile("movups %%xmm0,(%0); movdqu (%0),%%xmm1" ::"r"(q) : "memory");
    __atomic_fetch_add(l, 1, __ATOMIC_SEQ_CST);
  }
  for (long len = 1; len < 8192; len = len * 3 / 2 + 1)
    for (int o = 0; o < 17; o++) {
      memset(p, 1, 100);
      memmove(p + o, p + 3, len > 8192 - 20 ? 8000 : len);
    }
  printf("bad %d\n", bad);
  char buf[4096];
  printf("%zd\n", write(1, end - 4, 100) < 0 ? -1L : 4L);
  printf("%d\n", (int)read(0, end - 4, 100));
  return bad;
}
