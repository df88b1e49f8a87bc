// mmap, munmap, mprotect, mremap, brk and madvise as a program sees them: relative addresses, contents, errno.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <sys/syscall.h>
#define PG 4096UL
static char *base;
static void r(const char *what, void *p) { if (p == MAP_FAILED) printf("%s: %s\n", what, strerror(errno)); else printf("%s: %+ld\n", what, ((char *)p - base) / (long)PG); }
static void i(const char *what, long v) { printf("%s: %ld %s\n", what, v, v < 0 ? strerror(errno) : ""); }
int main(void) {
  base = mmap((void *)0x10000000, 64 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("%p\n", (void *)base);
  memset(base, 'a', 64 * PG);
  i("munmap hole", munmap(base + 8 * PG, 4 * PG));
  r("hint in hole", mmap(base + 8 * PG, 2 * PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  r("noreplace", mmap(base, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  r("unaligned fixed", mmap(base + 1, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  r("zero length", mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  r("huge", mmap(0, 1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  r("no type", mmap(0, PG, PROT_READ, MAP_ANONYMOUS, -1, 0));
  r("bad fd", mmap(0, PG, PROT_READ, MAP_PRIVATE, 77, 0));
  r("low fixed", mmap((void *)0x1000, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED ? MAP_FAILED : base);
  i("mprotect", mprotect(base + 2 * PG, 3 * PG, PROT_READ));
  i("mprotect hole", mprotect(base + 9 * PG, 4 * PG, PROT_READ));
  i("mprotect unaligned", mprotect(base + 1, PG, PROT_READ));
  r("mremap grow", mremap(base + 40 * PG, 24 * PG, 30 * PG, 0));
  i("munmap 50..52", munmap(base + 50 * PG, 2 * PG));
  r("mremap blocked", mremap(base + 48 * PG, 2 * PG, 8 * PG, 0));
  char *moved = mremap(base + 48 * PG, 2 * PG, 8 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, base + 100 * PG);
  r("mremap fixed", moved);
  printf("moved %c %d\n", moved[PG], moved[5 * PG]);
  moved[7 * PG] = 'z';
  r("mremap shrink", mremap(moved, 8 * PG, PG, 0));
  i("dontneed", madvise(base + 60 * PG, 2 * PG, MADV_DONTNEED));
  printf("after dontneed %d %c\n", base[60 * PG], base[62 * PG]);
  i("madvise bad", madvise(base, PG, 12345));
  i("madvise hole", madvise(base + 50 * PG, 2 * PG, MADV_DONTNEED));
  unsigned char vec[8]; i("mincore", syscall(SYS_mincore, base + 60 * PG, 4 * PG, vec)); printf("%d%d%d%d\n", vec[0] & 1, vec[1] & 1, vec[2] & 1, vec[3] & 1);
  char *b0 = (char *)syscall(SYS_brk, 0); b0 += -(unsigned long)b0 % PG;
  syscall(SYS_brk, b0 + 10 * PG); b0[9 * PG] = 1; printf("brk grew %ld\n", (syscall(SYS_brk, 0) - (long)b0) / (long)PG);
  syscall(SYS_brk, b0); syscall(SYS_brk, b0 + 10 * PG); printf("fresh %d\n", b0[9 * PG]);
  char *z = mmap(0, 4 * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); volatile char *vz = z;
  printf("zero %d", vz[PG]); vz[PG + 1] = 5; printf(" %d %d\n", vz[PG], vz[PG + 1]);
  unsigned char *code = mmap(0, PG, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(code, "\xb8\x05\x00\x00\x00\xc3", 6); printf("code %d", ((int (*)(void))code)()); code[1] = 9; printf(" %d\n", ((int (*)(void))code)());
  return 0;
}
