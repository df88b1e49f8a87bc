// printf, scanf, streams in memory, lines of stdin, wide characters, numbers from text.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <wchar.h>
#include <locale.h>
int main(void) {
  printf("%d|%5d|%-5d|%05d|%+d|%x|%#o|%lld|%zu|%hhd\n", 1, 2, 3, 4, 5, 255, 8, -1LL, sizeof(long), 300);
  printf("%s|%10s|%-10s|%.2s|%c|%%|%5.1f|%e|%g|%a|%Lf\n", "abc", "def", "ghi", "xyz", 'q', 3.14159, 12345.678, 1e-5, 0.5,
         1.25L);
  printf("%f %f %f\n", 1.0 / 0.0, -1.0 / 0.0, 1e308 * 10);
  int a, n;
  float f;
  char w[16], rest[32];
  unsigned u;
  n = sscanf("12 3.5 word 0xff tail end", "%d %f %15s %x %[^\n]", &a, &f, w, &u, rest);
  printf("%d: %d %.2f %s %u %s\n", n, a, f, w, u, rest);
  char *buf = 0;
  size_t len = 0;
  FILE *m = open_memstream(&buf, &len);
  for (int i = 0; i < 1000; i++) fprintf(m, "%d,", i);
  fclose(m);
  printf("%zu %.10s %s\n", len, buf, buf + len - 5);
  FILE *r = fmemopen(buf, len, "r");
  int sum = 0;
  while (fscanf(r, "%d,", &a) == 1) sum += a;
  printf("%d %d\n", sum, feof(r) != 0);
  rewind(r);
  ungetc('7', r);
  fscanf(r, "%d", &a);
  printf("%d %ld\n", a, ftell(r));
  fclose(r);
  errno = 0;
  r = fopen("/nonexistent/x", "r");
  printf("%p %s\n", (void *)r, strerror(errno));
  char *line = 0;
  size_t cap = 0;
  ssize_t got;
  while ((got = getline(&line, &cap, stdin)) > 0) printf("[%zd] %s", got, line);
  printf("%d %d\n", feof(stdin) != 0, ferror(stdin) != 0);
  setlocale(LC_ALL, "C.UTF-8");
  wchar_t wide[32];
  size_t wn = mbstowcs(wide, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac", 32);
  printf("%zd %x %x\n", wn, (unsigned)wide[2], wn < 32 ? (unsigned)wide[5] : 0);
  char *end;
  printf("%ld %s %lu %g\n", strtol("  -0x1fz", &end, 0), end, strtoul("777", 0, 8), strtod("1e3x", &end));
  errno = 0;
  long big = strtol("99999999999999999999", 0, 10);
  printf("%ld %d\n", big, errno);
  fprintf(stderr, "to stderr %d\n", 1);
  perror("p");
  setvbuf(stdout, 0, _IONBF, 0);
  fputs("unbuffered ", stdout);
  putchar('x');
  puts("");
  return 0;
}
