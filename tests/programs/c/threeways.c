// The file argv[1], made here, through read and write (psync), O_DIRECT and mmap: each sees what the others wrote.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#define PAGE 4096L
#define PAGES 64
static int fd, direct, pagemap;
static unsigned char *map, *private, *buffer;

static unsigned hash(const unsigned char *p, long n) {
  unsigned h = 0;
  while (n-- > 0) h = h * 31 + *p++;
  return h;
}

// Is there a page of a file or of shared memory behind p (bit 61), as opposed to a private one?
static int of_a_file(const void *p) {
  uint64_t entry = 0;
  pread(pagemap, &entry, 8, (uintptr_t)p / PAGE * 8);
  return entry >> 61 & 1;
}

static void look(const char *when) {
  long size = PAGES * PAGE;
  printf("%s: mmap %08x, ", when, hash(map, size));
  long n = pread(fd, buffer, size, 0);
  printf("read %ld %08x, ", n, hash(buffer, n));
  n = pread(direct, buffer, size, 0);
  printf("O_DIRECT %ld %08x, private %08x, of the file %d %d\n", n, hash(buffer, n), hash(private, size), of_a_file(map + 9 * PAGE),
         of_a_file(private + 9 * PAGE));
}

int main(int c, char **v) {
  (void)c;
  fd = open(v[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (int i = 0; i < PAGES; i++) {
    unsigned char page[PAGE];
    for (int j = 0; j < PAGE; j++) page[j] = i * 7 + j * j % 251;
    write(fd, page, PAGE);
  }
  direct = open(v[1], O_RDWR | O_DIRECT);
  pagemap = open("/proc/self/pagemap", O_RDONLY);
  if (fd < 0 || direct < 0 || pagemap < 0) return perror("open"), 1;
  map = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  private = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  posix_memalign((void **)&buffer, PAGE, PAGES * PAGE);
  look("written");
  pwrite(fd, "psync", 5, 3 * PAGE + 4094);
  look("psync");
  memset(map + 9 * PAGE, 'm', 2 * PAGE + 100);
  look("mmap");
  memset(buffer, 'd', 4 * PAGE);
  printf("%ld\n", (long)pwrite(direct, buffer, 4 * PAGE, 8 * PAGE));
  look("O_DIRECT");
  private[9 * PAGE + 7] = 'p';
  look("private");
  pwrite(fd, "after the copy", 14, 9 * PAGE);
  look("psync");
  memset(buffer, 'e', PAGE);
  pwrite(direct, buffer, PAGE, 9 * PAGE);
  look("O_DIRECT");
  // A mapping of the file as the buffer of direct I/O on the same file.
  printf("%ld %ld\n", (long)pwrite(direct, map + 20 * PAGE, 2 * PAGE, 40 * PAGE), (long)pread(direct, map + 50 * PAGE, PAGE, 9 * PAGE));
  look("from the map");
  msync(map, PAGES * PAGE, MS_SYNC);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  look("dropped");
  errno = 0;
  printf("%ld", (long)pread(direct, buffer + 1, PAGE, 0));
  printf(" %d\n", errno);
  printf("%ld past the end, ", (long)pread(direct, buffer, PAGE, PAGES * PAGE));
  ftruncate(fd, 10 * PAGE + 100);
  printf("%ld at the end, ", (long)pread(direct, buffer, PAGE, 10 * PAGE));
  printf("last byte %d, behind it %d\n", map[10 * PAGE + 99], map[10 * PAGE + 100]);
  return 0;
}
