// argv[1] names one way to die.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
static volatile int zero;
static int text(void) { return 1; }
static int recurse(volatile int n) {
  volatile char b[512];
  b[n & 511] = n;
  return recurse(n + 1) + b[3];
}
__attribute__((noinline)) static int huge(void) {
  volatile char b[200 << 20];
  b[0] = 1;
  return b[0];
}
static unsigned char ret[] = {0xc3};
static void *pages(int prot) { return mmap(0, 8192, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
int main(int c, char **v) {
  char *p;
  sigset_t all;
#define WAY(name) else if (!strcmp(v[1], name))
  printf("%s\n", v[1]);
  fflush(stdout);
  if (0) {}
  WAY("jump-to-0") ((void (*)(void))0)();
  WAY("write-text") *(volatile char *)text = 1;
  WAY("recursion") return recurse(0);
  WAY("huge-frame") return huge();
  WAY("execute-data") ((void (*)(void))ret)();
  WAY("execute-heap") {
    p = pages(PROT_READ | PROT_WRITE);
    memset(p, 0xc3, 4096);
    ((void (*)(void))p)();
  }
  WAY("execute-stack") {
    volatile char here[16] = {0xc3};
    ((void (*)(void))here)();
  }
  WAY("divide") printf("%d\n", 5 / zero);
  WAY("divide-overflow") asm volatile("idivq %0" ::"r"(-1L), "a"(0), "d"(1L << 62));
  WAY("kernel-address") *(volatile char *)0xffff888000000000 = 1;
  WAY("non-canonical") *(volatile char *)0x0800000000000000 = 1;
  WAY("jump-non-canonical") ((void (*)(void))0x0800000000000000)();
  WAY("null-write") *(volatile char *)8 = 1;
  WAY("page-end") {
    p = pages(PROT_READ | PROT_WRITE);
    munmap(p + 4096, 4096);
    *(volatile long *)(p + 4092) = 1;
  }
  WAY("read-none") return *(volatile char *)pages(PROT_NONE);
  WAY("beyond-file") return *((volatile char *)mmap(0, 1 << 30, PROT_READ, MAP_PRIVATE, open(v[0], 0), 0) + (1 << 30) - 1);
  WAY("abort") abort();
  WAY("hlt") asm volatile("hlt");
  WAY("cli") asm volatile("cli");
  WAY("in") asm volatile("in $0x60, %%al" ::: "rax");
  WAY("cr0") asm volatile("mov %%cr0, %%rax" ::: "rax");
  WAY("ud2") asm volatile("ud2");
  WAY("int3") asm volatile("int3");
  WAY("int1") asm volatile(".byte 0xf1");
  WAY("int-5") asm volatile("int $5");
  WAY("sysenter") asm volatile("sysenter");
  WAY("step") asm volatile("pushf; orl $0x100, (%rsp); popf; nop; nop");
  WAY("bad-stack") asm volatile("mov $8, %rsp; push %rax");
  WAY("non-canonical-stack") asm volatile("mov $1, %rsp; shl $60, %rsp; push %rax");
  WAY("ignored-fault") {
    signal(SIGSEGV, SIG_IGN);
    *(volatile int *)16 = 1;
  }
  WAY("blocked-fault") {
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    *(volatile int *)16 = 1;
  }
  WAY("handler-without-stack") {
    signal(SIGSEGV, (void (*)(int))text);
    asm volatile("mov $8, %rsp; push %rax");
  }
  WAY("bad-sigreturn") asm volatile("mov $4096, %%rsp; syscall" ::"a"(SYS_rt_sigreturn));
  WAY("x87") {
    asm volatile("fnstcw -8(%rsp); andw $0xfffb, -8(%rsp); fldcw -8(%rsp); fld1; fldz; fdivrp; fwait");
  }
  WAY("signal") raise(atoi(v[2]));
  WAY("exit-status") syscall(SYS_exit_group, 0x12345);
  WAY("eat-memory") for (;;) memset(malloc(1 << 20), 1, 1 << 20);
  else return 99;
  return 7;
}
