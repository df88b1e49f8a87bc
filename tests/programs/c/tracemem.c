// SPDX-License-Identifier: GPL-2.0-or-later
// ptrace(2): reading and writing a tracee's memory, with FOLL_FORCE: copy-on-write, rights, what is refused.
#include "tracing.h"
#include <sys/auxv.h>

#define P 4096

static char *anon, *ro, *none, *file_ro, *shared_ro, *shared_wo, *shared_rw, *text, *zero;
static long vdso, vvar;

// What smaps says of the page, and pagemap: present, anonymous.
static void page(pid_t pid, const char *name, void *addr)
{
    char path[64], line[256];
    int on = 0, fd;
    uint64_t entry = 0;
    sprintf(path, "/proc/%d/smaps", pid);
    FILE *f = fopen(path, "r");
    printf("  %s:", name);
    while (fgets(line, sizeof line, f)) {
        unsigned long a, b;
        char perms[8];
        int kb;
        char key[64];
        if (sscanf(line, "%lx-%lx %7s", &a, &b, perms) == 3) {
            on = a <= (unsigned long)addr && (unsigned long)addr < b;
            if (on)
                printf(" %s %lu", perms, (b - a) / P);
        } else if (on && sscanf(line, "%63[^:]: %d kB", key, &kb) == 2 && kb) {
            if (!strcmp(key, "Rss") || !strcmp(key, "Anonymous") || !strncmp(key, "Private_", 8) || !strncmp(key, "Shared_", 7))
                printf(" %s %d", key, kb);
        }
    }
    fclose(f);
    sprintf(path, "/proc/%d/pagemap", pid);
    fd = open(path, O_RDONLY);
    pread(fd, &entry, 8, (unsigned long)addr / P * 8);
    close(fd);
    printf(" present %d file %d exclusive %d\n", (int)(entry >> 63), (int)(entry >> 61 & 1), (int)(entry >> 56 & 1));
}

static long peek(pid_t pid, void *addr)
{
    long word = -1;
    PTRACE(PEEKDATA, pid, addr, &word);
    return word;
}

static void child(void)
{
    if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))
        _exit(99);
    raise(SIGSTOP);
    // What the tracer has put there is ours.
    _exit(anon[0] == 0x11 && text[0] == 'Z' && file_ro[0] == 'Z' ? 42 : 43);
}

int main(void)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    char name[] = "/tmp/tracemem.XXXXXX";
    int fd = mkstemp(name);
    char block[4 * P];
    memset(block, 'f', sizeof block);
    write(fd, block, sizeof block);
    int rfd = open(name, O_RDONLY);
    unlink(name);
    int rw = PROT_READ | PROT_WRITE;
    // Each apart from the others, so that no two merge.
    char *area = mmap(0, 64 * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int at = 0;
#define MAP(prot, flags, fd, off) mmap(area + 4 * P * at++, 2 * P, prot, (flags) | MAP_FIXED, fd, off)
    anon = MAP(rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ro = MAP(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    none = MAP(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    file_ro = MAP(PROT_READ, MAP_PRIVATE, rfd, 0);
    text = MAP(PROT_READ | PROT_EXEC, MAP_PRIVATE, rfd, 2 * P);
    shared_ro = MAP(PROT_READ, MAP_SHARED, rfd, 0);
    shared_wo = MAP(PROT_READ, MAP_SHARED, fd, 0);
    shared_rw = MAP(rw, MAP_SHARED, fd, 0);
    zero = MAP(rw, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(anon, 'a', 2 * P);
    char c = ((volatile char *)ro)[0] + ((volatile char *)file_ro)[0] + ((volatile char *)text)[0] + ((volatile char *)zero)[0];
    (void)c;
    fflush(stdout);
    pid_t pid = fork();
    if (!pid)
        child();
    nr(pid);
    await(pid);

    puts("anonymous, shared with the parent since the fork");
    page(pid, "before", anon);
    printf("  %#lx\n", peek(pid, anon));
    page(pid, "peeked", anon);
    PTRACE(POKEDATA, pid, anon, 0x11);
    page(pid, "poked", anon);
    page(getpid(), "ours", anon);
    printf("  %#lx %#lx\n", peek(pid, anon), *(long *)anon);

    puts("read-only, and of the zero page");
    page(pid, "before", ro);
    printf("  %#lx\n", peek(pid, ro));
    page(pid, "peeked", ro);
    PTRACE(POKEDATA, pid, ro, 0x22);
    page(pid, "poked", ro);
    PTRACE(POKEDATA, pid, ro + 8, 0x23);
    page(pid, "again", ro);
    printf("  %#lx %#lx %#lx\n", peek(pid, ro), peek(pid, ro + 8), *(long *)ro);
    PTRACE(POKEDATA, pid, zero, 0x24);
    page(pid, "writable", zero);

    puts("no rights");
    printf("  %#lx\n", peek(pid, none));
    page(pid, "peeked", none);
    PTRACE(POKEDATA, pid, none, 0x33);
    printf("  %#lx\n", peek(pid, none));
    page(pid, "poked", none);

    puts("private files");
    PTRACE(POKETEXT, pid, file_ro, 'Z');
    page(pid, "read-only", file_ro);
    PTRACE(POKETEXT, pid, text, 'Z');
    page(pid, "text", text);
    PTRACE(POKETEXT, pid, text + P, 'Y');
    page(pid, "absent", text + P);
    printf("  ours %c %c\n", file_ro[0], text[0]);
    long across = 0;
    printf("  across %#lx\n", peek(pid, file_ro + P - 4));
    PTRACE(POKEDATA, pid, file_ro + P - 4, 0x4142434445464748);
    printf("  across %#lx\n", peek(pid, file_ro + P - 4));
    PTRACE(POKEDATA, pid, zero + 2 * P - 4, -1L);  // into what has no rights
    printf("  end %#lx\n", peek(pid, zero + 2 * P - 4));

    puts("shared files");
    PTRACE(POKEDATA, pid, shared_ro, 1);
    PTRACE(POKEDATA, pid, shared_wo, 1);
    printf("  %#lx\n", peek(pid, shared_wo));
    PTRACE(POKEDATA, pid, shared_rw, 0x77);
    page(pid, "writable", shared_rw);
    printf("  ours %#lx\n", *(long *)shared_rw);

    puts("the kernel's pages");
    vdso = getauxval(AT_SYSINFO_EHDR);
    printf("  vdso %#lx\n", peek(pid, (void *)vdso) & 0xffffffff);
    vvar = vdso - P;
    peek(pid, (void *)vvar);
    // The vDSO is private, its pages can be copied.
    PTRACE(POKEDATA, pid, vdso, 0x1111);
    printf("  vdso %#lx ours %#lx\n", peek(pid, (void *)vdso), *(long *)vdso & 0xffffffff);
    peek(pid, (void *)0xffff800000000000);
    peek(pid, (void *)(area + 64 * P + (1L << 30)));

    puts("other ways");
    char path[64], buffer[16] = "abcdefgh";
    sprintf(path, "/proc/%d/mem", pid);
    int mem = open(path, O_RDWR);
    printf("  mem %zd", pwrite(mem, "MEM", 3, (off_t)(ro + 100)));
    printf(" %zd %s\n", pread(mem, buffer, 8, (off_t)(ro + 100)), buffer);
    struct iovec local = {buffer, 8}, remote = {ro + 100, 8};
    printf("  vm read %zd %s\n", process_vm_readv(pid, &local, 1, &remote, 1, 0), buffer);
    errno = 0;
    printf("  vm write %zd errno", process_vm_writev(pid, &local, 1, &remote, 1, 0));
    printf(" %d\n", errno);
    prctl(PR_SET_DUMPABLE, 1);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    peek(pid, anon);
    return 0;
}
