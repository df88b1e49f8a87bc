// setjmp out of recursion and out of signal handlers, alloca, constructors, atexit.
#define _GNU_SOURCE
#include <stdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <alloca.h>
#include <unistd.h>
static jmp_buf j;
static sigjmp_buf sj;
static volatile int n;
static void deep(int k) {
  volatile char pad[100];
  pad[0] = k;
  if (k == 0) longjmp(j, 42);
  deep(k - 1);
  pad[1] = pad[0];
}
static void seg(int s) {
  n++;
  siglongjmp(sj, s);
}
static long sum(long k) {
  volatile char *p = alloca(k);
  for (long i = 0; i < k; i += 1000) p[i] = i;
  return p[k / 1000 * 1000 - 1000];
}
static void once(void) { puts("atexit 1"); }
static void twice(void) { puts("atexit 2"); }
__attribute__((constructor)) static void ctor(void) { puts("constructor"); }
__attribute__((destructor)) static void dtor(void) { puts("destructor"); }
int main(void) {
  int r = setjmp(j);
  if (r == 0) deep(50);
  printf("longjmp %d\n", r);
  signal(SIGSEGV, seg);
  signal(SIGFPE, seg);
  signal(SIGILL, seg);
  for (volatile int i = 0; i < 3; i++)
    if (sigsetjmp(sj, 1) == 0) *(volatile int *)(long)i = 1;
  if (sigsetjmp(sj, 1) == 0) {
    volatile int z = 0;
    asm volatile("idivl %0" ::"m"(z), "a"(1), "d"(0));
  }
  if (sigsetjmp(sj, 1) == 0) asm volatile("ud2");
  sigset_t s;
  sigprocmask(0, 0, &s);
  printf("%d %d\n", n, sigismember(&s, SIGSEGV));
  for (long k = 4000; k < 6000000; k *= 3) printf("%ld ", sum(k));
  puts("");
  atexit(once);
  atexit(twice);
  fflush(stdout);
  exit(3);
}
