// malloc under load, brk, and what the calls on mappings refuse.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <errno.h>
#define E(x)                                                                                                                   \
  do {                                                                                                                         \
    errno = 0;                                                                                                                 \
    long r_ = (x);                                                                                                             \
    printf("%s = %ld %d\n", #x, r_, errno);                                                                                    \
  } while (0)
static unsigned s = 1;
static unsigned rnd(void) { return (s = s * 1103515245 + 12345) >> 8; }
int main(void) {
  enum { N = 300 };
  static unsigned char *p[N];
  static size_t len[N];
  unsigned h = 0;
  for (int i = 0; i < 6000; i++) {
    int k = rnd() % N;
    if (p[k])
      for (size_t j = 0; j < len[k]; j += 97)
        if (p[k][j] != (unsigned char)(k + j)) {
          printf("corrupt\n");
          return 1;
        }
    size_t n = rnd() % 50 == 0 ? rnd() % 300000 : rnd() % 2000;
    if (rnd() % 3 == 0) {
      free(p[k]);
      p[k] = 0;
      len[k] = 0;
    } else {
      p[k] = realloc(p[k], n + 1);
      len[k] = n;
      for (size_t j = 0; j < n; j += 97) p[k][j] = k + j;
    }
    h = h * 7 + n;
  }
  printf("%u\n", h);
  for (size_t a = 16; a < 100000; a *= 4) {
    void *q;
    if (posix_memalign(&q, a, 100) || (uintptr_t)q % a) puts("align");
    free(q);
  }
  char *c = calloc(1000, 1000);
  int nz = 0;
  for (int i = 0; i < 1000000; i += 512) nz += c[i];
  printf("%d\n", nz);
  free(c);
  E(malloc(1UL << 50) == 0);
  E(calloc(1UL << 40, 1UL << 40) == 0);
  E(realloc(0, 1UL << 60) == 0);
  void *b = sbrk(0);
  E(brk((char *)b + 100000));
  E((char *)sbrk(0) - (char *)b);
  E(brk(b));
  E(brk((void *)4096));
  char *m = mmap(0, 1 << 20, 3, 34, -1, 0);
  memset(m, 1, 1 << 20);
  m = mremap(m, 1 << 20, 4 << 20, MREMAP_MAYMOVE);
  printf("%d %d\n", m[(1 << 20) - 1], m[1 << 20]);
  E(madvise(m, 8192, MADV_DONTNEED));
  printf("%d %d\n", m[0], m[8192]);
  unsigned char vec[4];
  E(mincore(m, 16384, vec));
  printf("%d %d\n", vec[1] & 1, vec[2] & 1);
  E(madvise(m + 1, 10, MADV_DONTNEED));
  E(madvise(m, 4096, 999));
  E(mprotect(m, 4096, 0x100));
  E(munmap(m + 1, 10));
  E(munmap(m, 0));
  E(mlock(m, 8192));
  E(munlock(m, 8192));
  E(mremap(m, 4096, 0, 0) == MAP_FAILED);
  E(mremap(m + 1, 4096, 8192, 0) == MAP_FAILED);
  E(msync(m, 4096, 99));
  E(mmap(0, 4096, 3, 0, -1, 0) == MAP_FAILED);
  E(mmap(0, 4096, 3, MAP_PRIVATE, 99, 0) == MAP_FAILED);
  E(mmap((void *)4096, 4096, 3, 34 | MAP_FIXED_NOREPLACE, -1, 0) == (void *)4096 || errno == EPERM);
  E(mmap(m, 4096, 3, 34 | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
  E(mmap((void *)-4096, 4096, 3, 34 | MAP_FIXED, -1, 0) == MAP_FAILED);
  E(munmap(m, 4 << 20));
  return 0;
}
