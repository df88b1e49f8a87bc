// Floating point, 64-bit division, qsort, string functions that libc picks by CPU.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int cmp(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x > y) - (x < y); }
int main(void) {
  double v[500];
  for (int i = 0; i < 500; i++) v[i] = sin(i * 12.9898) * 43758.5453 - floor(sin(i * 12.9898) * 43758.5453);
  qsort(v, 500, sizeof *v, cmp);
  for (int i = 0; i < 500; i += 50) printf("%.17g %a\n", v[i], exp(v[i]));
  printf("%Lf %.3e %g\n", (long double)1 / 3, 6.02214076e23, pow(2, 0.5));
  long long big = 9007199254740993LL; unsigned long long q = ~0ULL / 7;
  printf("%lld %llu %llu %lld\n", big % 1000003, q, q % 97, -big / 12345);
  char text[300]; memset(text, 'x', sizeof text); text[299] = 0; text[123] = 'y';
  printf("%zu %td %d %s\n", strlen(text), strchr(text, 'y') - text, memcmp(text, text + 1, 100), strstr("the kernel's mm", "mm"));
  char *e; printf("%.3f %ld\n", strtod("3.14159xyz", &e), strtol("0x7fffz", &e, 16));
  return 0;
}
