// Code made at run time: RWX, W^X by mprotect, across pages, self-modifying, moved, discarded.
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <signal.h>
#include <setjmp.h>
static sigjmp_buf j;
static void h(int s) { siglongjmp(j, 1); }
static unsigned char mov[] = {0xb8, 1, 0, 0, 0, 0xc3}; // mov eax, imm; ret
typedef int (*fn)(void);
int main(void) {
  signal(SIGSEGV, h);
  unsigned char *p = mmap(0, 8192, 7, 34, -1, 0);
  int sum = 0;
  for (int i = 0; i < 300; i++) {
    memcpy(p, mov, 6);
    memcpy(p + 1, &i, 4);
    sum += ((fn)p)();
  }
  printf("rwx %d\n", sum);
  unsigned char *w = mmap(0, 4096, 3, 34, -1, 0);
  sum = 0;
  for (int i = 0; i < 100; i++) {
    mprotect(w, 4096, 3);
    memcpy(w, mov, 6);
    w[1] = i;
    mprotect(w, 4096, 5);
    sum += ((fn)w)();
  }
  printf("w^x %d\n", sum);
  if (!sigsetjmp(j, 1)) {
    w[0] = 1;
    puts("?");
  } else puts("not writable");
  mprotect(w, 4096, 3);
  if (!sigsetjmp(j, 1)) {
    ((fn)w)();
    puts("?");
  } else puts("not executable");
  for (int i = 0; i < 50; i++) {
    unsigned char *q = p + 4096 - 3;
    memcpy(q, mov, 6);
    q[1] = i;
    if (((fn)q)() != i) puts("page crossing");
  } // code over a page border
  // a loop that patches its own immediate: add eax, imm
  static const unsigned char loop[] = {0x31,        0xc0, 0xb9, 100,  0,    0,    0,           /*7*/ 0x05, 1,    0,    0,   0,
                                       /*12*/ 0xfe, 0x05, 0xf6, 0xff, 0xff, 0xff, /*18*/ 0xff, 0xc9,       0x75, 0xf1, 0xc3};
  memcpy(p, loop, sizeof loop);
  printf("self %d\n", ((fn)p)());
  static unsigned char text[4096] __attribute__((aligned(4096)));
  memcpy(text, mov, 6);
  text[1] = 33;
  mprotect(text, 4096, 7);
  printf("bss %d\n", ((fn)text)());
  text[1] = 34;
  printf("bss %d\n", ((fn)text)());
  munmap(p, 8192);
  unsigned char *p2 = mmap(p, 8192, 7, 34 | MAP_FIXED, -1, 0);
  memcpy(p2, mov, 6);
  p2[1] = 77;
  printf("again %d %d\n", ((fn)p2)(), p2 == p);
  p2[1] = 78;
  madvise(p2, 4096, MADV_DONTNEED);
  if (p2[0] == 0) puts("zero");
  memcpy(p2, mov, 6);
  p2[1] = 79;
  printf("%d\n", ((fn)p2)());
  unsigned char *p3 = mremap(p2, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, p2 + 4096);
  printf("moved %d\n", ((fn)p3)());
  unsigned char *many = mmap(0, 64 * 4096, 7, 34, -1, 0);
  for (int i = 0; i < 64; i++) {
    memcpy(many + i * 4096, mov, 6);
    many[i * 4096 + 1] = i;
  }
  sum = 0;
  for (int r = 0; r < 20; r++)
    for (int i = 0; i < 64; i++) {
      many[i * 4096 + 1] = i + r;
      sum += ((fn)(many + i * 4096))();
    }
  printf("many %d\n", sum);
  return 0;
}
