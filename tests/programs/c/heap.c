// malloc of every size: brk, mmap threshold, mremap by realloc, free and reuse; checks every byte.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static uint32_t state = 12345;
static uint32_t rnd(void) { state ^= state << 13; state ^= state >> 17; state ^= state << 5; return state; }
int main(void) {
  enum { SLOTS = 200 };
  unsigned char *p[SLOTS] = {0};
  size_t n[SLOTS] = {0};
  uint64_t sum = 0;
  for (int i = 0; i < 3000; i++) {
    int k = rnd() % SLOTS;
    for (size_t j = 0; j < n[k]; j += 97) if (p[k][j] != (unsigned char)(k + j)) { printf("corrupt slot %d at %zu\n", k, j); return 1; }
    size_t size = rnd() % 10 ? rnd() % 3000 : rnd() % 400000;
    if (rnd() % 3 == 0) { free(p[k]); p[k] = calloc(1, size + 1); for (size_t j = 0; j < size; j += 61) if (p[k][j]) { puts("calloc not zero"); return 1; } }
    else p[k] = realloc(p[k], size + 1);
    n[k] = size;
    for (size_t j = 0; j < size; j++) p[k][j] = (unsigned char)(k + j);
    sum = sum * 31 + size;
  }
  printf("heap ok %llu\n", (unsigned long long)sum);
  return 0;
}
