// Touches N pages of fresh anonymous memory and prints its own minor faults for that.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
int main(int argc, char **argv) {
  long n = argc > 1 ? atol(argv[1]) : 1000;
  char *p = mmap(0, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(p, n * 4096, MADV_NOHUGEPAGE);
  struct rusage a, b;
  getrusage(RUSAGE_SELF, &a);
  for (long i = 0; i < n; i++) p[i * 4096] = 1;
  getrusage(RUSAGE_SELF, &b);
  printf("%ld\n", b.ru_minflt - a.ru_minflt);
  return 0;
}
