// Sorting, searching, trees and hashes of libc, strings, libm.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <search.h>
#include <math.h>
static int cmp(const void *a, const void *b) {
  int x = *(int *)a, y = *(int *)b;
  return x < y ? -1 : x > y;
}
static int scmp(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
static unsigned seed = 12345;
static unsigned rnd(void) { return seed = seed * 1664525 + 1013904223; }
static void walk(const void *n, VISIT v, int d) {
  if (v == postorder || v == leaf) printf("%d ", **(int **)n);
}
int main(void) {
  int n = 5000, *v = malloc(n * sizeof *v);
  unsigned h = 0;
  for (int i = 0; i < n; i++) v[i] = rnd() % 100000;
  qsort(v, n, sizeof *v, cmp);
  for (int i = 1; i < n; i++) {
    if (v[i - 1] > v[i]) puts("unsorted");
    h = h * 31 + v[i];
  }
  int key = v[1234], *f = bsearch(&key, v, n, sizeof *v, cmp);
  printf("%u %d %d\n", h, *f == key, bsearch((int[]){-1}, v, n, sizeof *v, cmp) == 0);
  const char *w[] = {"pear", "apple", "fig", "banana", "cherry"};
  qsort(w, 5, sizeof *w, scmp);
  for (int i = 0; i < 5; i++) printf("%s ", w[i]);
  puts("");
  void *root = 0;
  static int x[20];
  for (int i = 0; i < 20; i++) {
    x[i] = rnd() % 50;
    tsearch(x + i, &root, cmp);
  }
  twalk(root, walk);
  puts("");
  hcreate(100);
  for (int i = 0; i < 50; i++) {
    char *k = malloc(8);
    sprintf(k, "k%d", i);
    hsearch((ENTRY){k, (void *)(long)i}, ENTER);
  }
  printf("%ld\n", (long)hsearch((ENTRY){"k33", 0}, FIND)->data);
  char t[] = "a,b;;c,d", *s, *p;
  for (s = strtok_r(t, ",;", &p); s; s = strtok_r(0, ",;", &p)) printf("<%s>", s);
  puts("");
  printf("%s %s %d %d\n", strstr("hello world", "o w"), strrchr("a/b/c", '/'), strcasecmp("ABC", "abd"), memcmp("ab", "ac", 2));
  printf("%zu %zu %s\n", strspn("aabbc", "ab"), strcspn("hello", "l"), strpbrk("hello", "ol"));
  for (int i = 1; i < 6; i++) printf("%.12g %.12g %.12g %.12g %.12g|", sin(i), exp(i), log(i), pow(i, 1.5), atan2(i, 2));
  puts("");
  printf("%.15g %.15g %.15g %g %g\n", sqrt(2), cbrt(3), tgamma(5.5), fmod(7, 2.5), floor(-1.5));
  printf("%Lg %Lg %ld %d\n", sinl(1), powl(2, .5L), lround(2.5), ilogb(1000));
  double fr;
  int e;
  fr = frexp(100, &e);
  printf("%g %d %g %g\n", fr, e, ldexp(1, 10), nextafter(1, 2) - 1);
  return 0;
}
