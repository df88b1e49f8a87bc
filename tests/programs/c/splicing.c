// SPDX-License-Identifier: GPL-2.0-or-later
// splice, tee, vmsplice: whose pages are in a pipe. argv[1]: a directory to work in.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int p[2], q[2];
static char buf[1 << 17];

static const char *err(long ret)
{
    static char text[4][60];
    static int n;
    char *t = text[n++ % 4];
    if (ret >= 0)
        snprintf(t, 60, "%ld", ret);
    else
        snprintf(t, 60, "%s", strerror(errno));
    return t;
}

static int inside(int fd) { int n = -1; ioctl(fd, FIONREAD, &n); return n; }

static void fresh(void)
{
    if (p[0]) {
        close(p[0]); close(p[1]); close(q[0]); close(q[1]);
    }
    pipe2(p, O_NONBLOCK);
    pipe2(q, O_NONBLOCK);
}

static void get(const char *what, int fd, int n)
{
    n = read(fd, buf, n);
    if (n < 0)
        printf("%s [%s]", what, strerror(errno));
    else
        printf("%s [%d: %.*s]", what, n, n > 16 ? 16 : n, buf);
}

static void test_files(int fd, const char *kind)
{
    loff_t off = 0;
    fresh();
    printf("%s: splice %s", kind, err(splice(fd, &off, p[1], NULL, 10000, 0)));
    printf(" at %ld", (long)off);
    // The page is the file's: what is written there is in the pipe.
    pwrite(fd, "NEW", 3, 0);
    get(", sees", p[0], 6);
    // The file ends, the page stays.
    ftruncate(fd, 2);
    get(", after truncation", p[0], 4);
    printf(" %d left\n", inside(p[0]));
    ftruncate(fd, 0);
    for (int i = 0; i < 9000; i++)
        buf[i] = 'a' + i % 26;
    pwrite(fd, buf, 9000, 0);
    // An unaligned range needs one buffer more than its size.
    fresh();
    fcntl(p[1], F_SETPIPE_SZ, 8192);
    off = 100;
    printf("two slots: %s", err(splice(fd, &off, p[1], NULL, 8192, 0)));
    printf(" at %ld, more %s\n", (long)off, err(splice(fd, &off, p[1], NULL, 1, 0)));
    fresh();
    off = 5;
    printf("pieces %s", err(splice(fd, &off, p[1], NULL, 3, 0)));
    printf(" %s", err(splice(fd, &off, p[1], NULL, 4, 0)));
    printf(" %s", err(splice(fd, &off, p[1], NULL, 5000, 0)));
    printf(" %s", err(splice(fd, &off, p[1], NULL, 50000, 0)));
    printf(" %s", err(splice(fd, &off, p[1], NULL, 1, 0)));
    get(", all", p[0], 20000);
    printf("\n");
    // A write does not go on where a spliced page ends.
    lseek(fd, 0, SEEK_SET);
    printf("own position %s", err(splice(fd, NULL, p[1], NULL, 3, 0)));
    printf(" now %ld", (long)lseek(fd, 0, SEEK_CUR));
    printf(", written behind %s", err(write(p[1], "+++", 3)));
    get(",", p[0], 10);
    pread(fd, buf, 8, 0);
    printf(", the file %.8s\n", buf);
    // Out: copied, at a position of its own or at the file's.
    write(p[1], "0123456789", 10);
    off = 20;
    printf("out %s", err(splice(p[0], NULL, fd, &off, 4, 0)));
    printf(" at %ld", (long)off);
    lseek(fd, 1, SEEK_SET);
    printf(", %s", err(splice(p[0], NULL, fd, NULL, 100, 0)));
    printf(" now %ld", (long)lseek(fd, 0, SEEK_CUR));
    printf(", empty %s", err(splice(p[0], NULL, fd, NULL, 100, 0)));
    pread(fd, buf, 26, 0);
    printf(", the file %.26s\n", buf);
    // From the file to itself, by way of the pipe.
    off = 0;
    splice(fd, &off, p[1], NULL, 4, 0);
    off = 4;
    printf("onto itself %s", err(splice(p[0], NULL, fd, &off, 4, 0)));
    pread(fd, buf, 16, 0);
    printf(" %.16s\n", buf);
    // A shared mapping of the page.
    char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    off = 0;
    splice(fd, &off, p[1], NULL, 8, 0);
    memcpy(m, "mapped..", 8);
    get("mapping", p[0], 8);
    munmap(m, 4096);
    // A private one that copies.
    m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    off = 0;
    splice(fd, &off, p[1], NULL, 8, 0);
    memcpy(m, "private.", 8);
    get(", private", p[0], 8);
    munmap(m, 4096);
    // A hole.
    ftruncate(fd, 100000);
    off = 50000;
    printf(", hole %s", err(splice(fd, &off, p[1], NULL, 5000, 0)));
    memset(buf, 1, sizeof buf);
    printf(" %s %d %d\n", err(read(p[0], buf, 5000)), buf[0], buf[4999]);
}

static void test_pipes(void)
{
    fresh();
    write(p[1], "abcdefgh", 8);
    printf("pipe to pipe %s", err(splice(p[0], NULL, q[1], NULL, 3, 0)));
    // The rest of the page is still written on by the first pipe.
    write(p[1], "ijk", 3);
    printf(" %s", err(splice(p[0], NULL, q[1], NULL, 100, 0)));
    printf(", inside %d %d", inside(p[0]), inside(q[0]));
    write(q[1], "XYZ", 3);
    get(",", q[0], 100);
    printf("\ntee:");
    write(p[1], "0123456789", 10);
    printf(" %s", err(tee(p[0], q[1], 4, 0)));
    printf(" %s", err(tee(p[0], q[1], 100, 0)));
    write(p[1], "more", 4);
    write(q[1], "less", 4);
    get(",", p[0], 100);
    get(",", q[0], 100);
    printf("\nempty %s", err(tee(p[0], q[1], 4, 0)));
    printf(", %s", err(splice(p[0], NULL, q[1], NULL, 4, 0)));
    printf(", itself %s", err(tee(p[0], p[1], 4, 0)));
    printf(", %s", err(splice(p[0], NULL, p[1], NULL, 4, 0)));
    printf(", ends %s", err(tee(p[1], q[1], 4, 0)));
    printf(", %s", err(splice(p[0], NULL, q[0], NULL, 4, 0)));
    printf(", nothing %s", err(splice(p[0], NULL, p[1], NULL, 0, 0)));
    printf(", flags %s", err(splice(p[0], NULL, q[1], NULL, 1, 64)));
    printf(", %s", err(tee(p[0], q[1], 1, 64)));
    loff_t off = 0;
    int null = open("/dev/null", O_RDWR);
    printf(", position %s", err(splice(p[0], &off, q[1], NULL, 1, 0)));
    printf(", no pipe %s", err(splice(null, NULL, null, NULL, 1, 0)));
    printf(", closed %s\n", err(splice(99, NULL, p[1], NULL, 1, 0)));
    close(null);
    // A full one.
    memset(buf, 'f', sizeof buf);
    while (write(q[1], buf, 4096) > 0);
    write(p[1], "xyz", 3);
    printf("full %s", err(splice(p[0], NULL, q[1], NULL, 3, 0)));
    printf(", %s", err(tee(p[0], q[1], 3, 0)));
    close(q[0]);
    signal(SIGPIPE, SIG_IGN);
    printf(", no reader %s", err(splice(p[0], NULL, q[1], NULL, 3, 0)));
    close(p[1]);
    read(p[0], buf, 100);
    q[0] = p[1] = -1;
    printf(", no writer %s\n", err(splice(p[0], NULL, q[1], NULL, 3, 0)));
    signal(SIGPIPE, SIG_DFL);
    // Blocking ones wait.
    close(p[0]);
    close(q[1]);
    p[0] = p[1] = q[0] = q[1] = 0;
    pipe(p);
    pipe(q);
    pid_t pid = fork();
    if (!pid) {
        close(p[0]);
        usleep(10000);
        write(p[1], "late", 4);
        usleep(10000);
        write(p[1], "later", 5);
        _exit(0);
    }
    close(p[1]);
    printf("waits %s", err(splice(p[0], NULL, q[1], NULL, 100, 0)));
    printf(" %s", err(tee(p[0], q[1], 100, 0)));
    printf(" %s", err(splice(p[0], NULL, q[1], NULL, 100, 0)));
    printf(" %s", err(splice(p[0], NULL, q[1], NULL, 100, 0)));
    get(",", q[0], 100);
    printf("\n");
    waitpid(pid, NULL, 0);
    close(p[0]); close(q[0]); close(q[1]);
    p[0] = p[1] = q[0] = q[1] = 0;
}

static void test_memory(void)
{
    fresh();
    char *m = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(m, "one page");
    struct iovec iov[2] = {{m, 8}, {m + 4090, 12}};
    printf("vmsplice %s", err(vmsplice(p[1], iov, 1, 0)));
    // Still the process's page.
    memcpy(m, "ONE", 3);
    get(",", p[0], 100);
    printf(", gift %s", err(vmsplice(p[1], iov, 1, SPLICE_F_GIFT)));
    memcpy(m, "two", 3);
    get(",", p[0], 100);
    // After a fork the child's write copies; the pipe has the parent's.
    printf(", forked %s", err(vmsplice(p[1], iov, 1, 0)));
    if (!fork()) {
        memcpy(m, "KID", 3);
        _exit(0);
    }
    wait(NULL);
    get(",", p[0], 100);
    // Without the mapping the page lives on.
    vmsplice(p[1], iov, 1, 0);
    munmap(m, 4096);
    get(", unmapped", p[0], 100);
    m = mmap(m, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    // What was never touched is the zero page, which a write replaces.
    printf("\nuntouched %s", err(vmsplice(p[1], iov, 1, 0)));
    memcpy(m, "written", 7);
    printf(" %s", err(read(p[0], buf, 100)));
    printf(" %d%d", buf[0], buf[6]);
    memset(m + 4090, 'x', 12);
    printf(", across %s", err(vmsplice(p[1], iov, 2, 0)));
    get(",", p[0], 100);
    iov[1].iov_base = (void *)4096;
    printf(", bad second %s", err(vmsplice(p[1], iov, 2, 0)));
    printf(", bad %s", err(vmsplice(p[1], iov + 1, 1, 0)));
    printf(" inside %d", inside(p[0]));
    memset(buf, 0, 20);
    struct iovec to[2] = {{buf, 3}, {buf + 10, 3}};
    printf("\nto memory %s", err(vmsplice(p[0], to, 2, 0)));
    printf(" %s+%s", buf, buf + 10);
    printf(", rest %s", err(vmsplice(p[0], to, 2, 0)));
    printf(", none %s", err(vmsplice(p[0], to, 2, SPLICE_F_NONBLOCK)));
    write(p[1], "abcdef", 6);
    to[1].iov_base = (void *)4096;
    printf(", bad %s", err(vmsplice(p[0], to, 2, 0)));
    printf(" inside %d", inside(p[0]));
    printf(", flags %s", err(vmsplice(p[0], to, 2, 64)));
    printf(", no pipe %s", err(vmsplice(open("/dev/null", O_RDWR), to, 2, 0)));
    printf(", closed %s", err(vmsplice(99, to, 2, 0)));
    printf(", nothing %s\n", err(vmsplice(p[1], to, 0, 0)));
    // A full pipe takes what fits.
    fresh();
    char *big = mmap(NULL, 40 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec all = {big, 40 * 4096};
    printf("40 pages %s", err(vmsplice(p[1], &all, 1, SPLICE_F_NONBLOCK)));
    printf(", again %s\n", err(vmsplice(p[1], &all, 1, SPLICE_F_NONBLOCK)));
    munmap(big, 40 * 4096);
}

static void test_others(int fd)
{
    int s[2], null = open("/dev/null", O_WRONLY);
    loff_t off = 0;
    off_t at = 0;
    fresh();
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(p[1], "socket", 6);
    printf("socket %s", err(splice(p[0], NULL, s[0], NULL, 100, 0)));
    printf(", back %s", err(splice(s[1], NULL, p[1], NULL, 100, 0)));
    get(",", p[0], 100);
    write(p[1], "void", 4);
    printf(", null %s", err(splice(p[0], NULL, null, NULL, 100, 0)));
    printf(" inside %d", inside(p[0]));
    pwrite(fd, "sendfile", 8, 0);
    printf(", sendfile %s", err(sendfile(p[1], fd, &at, 8)));
    printf(" at %ld", (long)at);
    get(",", p[0], 100);
    int ro = open("/dev/zero", O_WRONLY);
    printf(", write only %s\n", err(splice(ro, NULL, p[1], NULL, 10, 0)));
}

int main(int argc, char **argv)
{
    char name[4096];
    setvbuf(stdout, NULL, _IONBF, 0);
    snprintf(name, sizeof name, "%s/spliced", argv[1]);
    int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
    write(fd, "0123456789abcdef", 16);
    test_files(fd, "file");
    int mem = syscall(SYS_memfd_create, "m", 0);
    write(mem, "0123456789abcdef", 16);
    test_files(mem, "memfd");
    int ap = open(name, O_WRONLY | O_APPEND);
    write(p[1], "x", 1);
    printf("append %s\n", err(splice(p[0], NULL, ap, NULL, 1, 0)));
    test_pipes();
    test_memory();
    test_others(fd);
    return 0;
}
