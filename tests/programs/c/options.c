// getopt_long, the environment, patterns, regular expressions.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <getopt.h>
#include <fnmatch.h>
#include <regex.h>
#include <libgen.h>
extern char **environ;
int main(int argc, char **argv) {
  static struct option lo[] = {{"alpha", 0, 0, 'a'}, {"beta", 1, 0, 'b'}, {"gamma", 2, 0, 'g'}, {0}};
  int c;
  while ((c = getopt_long(argc, argv, "ab:g::", lo, 0)) != -1) printf("%c=%s\n", c, optarg ? optarg : "-");
  for (; optind < argc; optind++) printf("arg %s\n", argv[optind]);
  printf("%s %s\n", getenv("HOME"), getenv("NOPE") ? "?" : "none");
  setenv("X", "1", 1);
  setenv("X", "2", 0);
  putenv("Y=z");
  printf("%s %s\n", getenv("X"), getenv("Y"));
  unsetenv("X");
  printf("%d\n", getenv("X") == 0);
  int n = 0;
  for (char **e = environ; *e; e++)
    if (strncmp(*e, "MMSCOPE", 7) && strncmp(*e, "PYTHON", 6)) n++;
  printf("%d\n", n);
  clearenv();
  printf("%d\n", environ == 0 || *environ == 0);
  printf("%d %d %d\n", fnmatch("*.c", "x.c", 0), fnmatch("a?[0-9]", "ab7", 0), fnmatch("*", "a/b", FNM_PATHNAME));
  regex_t r;
  regmatch_t m[3];
  regcomp(&r, "([a-z]+)=([0-9]+)", REG_EXTENDED);
  int found = regexec(&r, "  key=42;", 3, m, 0);
  printf("%d %d %d\n", found, m[1].rm_so, m[2].rm_eo);
  regfree(&r);
  char p[] = "/usr/lib/x.so", q[] = "/usr/lib/x.so";
  printf("%s %s\n", basename(p), dirname(q));
  return 0;
}
