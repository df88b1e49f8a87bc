// SIGSEGV and SIGBUS in handlers: signo, si_code, si_addr, on the alternate stack, and going on afterwards.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
static sigjmp_buf back;
static volatile int signo, code, on_stack; static void *volatile addr; static char alt[65536];
static void handler(int s, siginfo_t *i, void *u) { char here; (void)u; signo = s; code = i->si_code; addr = i->si_addr; on_stack = &here >= alt && &here < alt + sizeof alt; siglongjmp(back, 1); }
static char *base;
static void show(const char *what) { printf("%-22s signo %d code %d addr %+ld altstack %d\n", what, signo, code, signo ? signo == SIGSEGV || signo == SIGBUS ? (long)((char *)addr - base) : addr != 0 : 0, on_stack); signo = 0; }
#define TRY(what, stmt) do { if (!sigsetjmp(back, 1)) { stmt; } show(what); } while (0)
int main(int argc, char **argv) {
  (void)argc;
  stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
  sigaltstack(&ss, 0);
  struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &sa, 0); sigaction(SIGBUS, &sa, 0); sigaction(SIGFPE, &sa, 0); sigaction(SIGILL, &sa, 0); sigaction(SIGTRAP, &sa, 0);
  base = mmap(0, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(base + 4096, 4096); mprotect(base + 2 * 4096, 4096, PROT_READ); mprotect(base + 3 * 4096, 4096, PROT_NONE);
  volatile char *p = base;
  TRY("write hole", p[4096 + 123] = 1);
  TRY("read hole", (void)p[4096 + 7]);
  TRY("write read-only", p[8192 + 5] = 1);
  TRY("read PROT_NONE", (void)p[12288 + 77]);
  TRY("read fine", (void)p[8192]);
  TRY("read-modify-write hole", p[4096 + 9] += 3);
  TRY("call data", ((void (*)(void))(base + 16))());
  TRY("8 bytes across", *(volatile long *)(base + 4096 - 3) = 1);
  TRY("memset across", memset(base + 4000, 7, 200));
  base = 0; TRY("null", *(volatile int *)8 = 1);
  TRY("non canonical", *(volatile int *)0x8000000000000000UL = 1);
  TRY("divide", __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; div %%edx" ::: "eax", "edx"));
  TRY("ud2", __asm__ volatile("ud2"));
  TRY("int3", __asm__ volatile("int3"));
  TRY("hlt", __asm__ volatile("hlt"));
  int fd = open(argv[0], O_RDONLY); off_t size = lseek(fd, 0, SEEK_END);
  long pages = (size + 4095) / 4096;
  base = mmap(0, (pages + 2) * 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  p = base;
  TRY("file last byte", (void)p[size - 1]);
  base += pages * 4096; TRY("file beyond end", (void)*(volatile char *)(base + 3));
  return 0;
}
