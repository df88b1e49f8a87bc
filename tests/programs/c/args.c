// argv, environment, exit status, the auxiliary vector as libc sees it.
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
extern char **environ;
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) printf("arg %d [%s]\n", i, argv[i]);
  for (char **e = environ; *e; e++) printf("env [%s]\n", *e);
  printf("pagesz %lu clktck %lu uid %lu secure %lu\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_UID), getauxval(AT_SECURE));
  printf("platform %s random %d vdso %d\n", (char *)getauxval(AT_PLATFORM), getauxval(AT_RANDOM) != 0, getauxval(AT_SYSINFO_EHDR) != 0);
  const char *execfn = (char *)getauxval(AT_EXECFN);
  printf("execfn %s\n", strrchr(execfn, '/') + 1);
  return argc > 1 ? atoi(argv[1]) : 0;
}
