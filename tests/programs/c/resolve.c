// SPDX-License-Identifier: GPL-2.0-or-later
// openat2's RESOLVE_* and strictness, execveat. argv[1]: a directory to work in.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

struct how { uint64_t flags, mode, resolve; };
enum { NO_XDEV = 1, NO_MAGIC = 2, NO_SYM = 4, BENEATH = 8, IN_ROOT = 16 };

static const char *try(int dfd, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    static char text[100];
    struct how how = {flags, mode, resolve};
    int fd = syscall(SYS_openat2, dfd, name, &how, sizeof how);
    if (fd < 0)
        return strerror(errno);
    // What was opened: the size tells the files apart.
    struct stat st;
    fstat(fd, &st);
    snprintf(text, sizeof text, "ok %s %ld", S_ISDIR(st.st_mode) ? "dir" : S_ISLNK(st.st_mode) ? "link" : "file", S_ISREG(st.st_mode) ? (long)st.st_size : 0);
    close(fd);
    return text;
}

static void make(const char *name, int size)
{
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    for (int i = 0; i < size; i++)
        write(fd, "x", 1);
    close(fd);
}

static void run(const char *what, int fd, const char *name, int flags)
{
    int p[2];
    pipe(p);
    printf("%s: ", what);
    pid_t pid = fork();
    if (!pid) {
        char *argv[] = {"zero", "exec", NULL}, *envp[] = {NULL};
        syscall(SYS_execveat, fd, name, argv, envp, flags);
        printf("%s\n", strerror(errno));
        _exit(0);
    }
    int st;
    waitpid(pid, &st, 0);
    if (st)
        printf("status %x\n", st);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc > 1 && !strcmp(argv[1], "exec")) {
        char comm[20] = "";
        int fd = open("/proc/self/comm", O_RDONLY);
        // By descriptor: its number until v6.14, since then the file's name.
        read(fd, comm, 16);
        printf("runs as %s, %d arguments, comm %s", argv[0], argc, comm[0] >= '0' && comm[0] <= '9' ? "resolve\n" : strncmp(comm, "resolve", 7) ? comm : "resolve\n");
        return 0;
    }
    if (chdir(argv[1]))
        return 1;
    mkdir("top", 0755);
    mkdir("top/sub", 0755);
    mkdir("top/sub/deep", 0755);
    make("outside", 1);
    make("top/file", 2);
    make("top/sub/file", 3);
    make("top/outside", 4);
    symlink("sub/file", "top/in");
    symlink("../outside", "top/out");
    symlink("/outside", "top/abs");
    symlink("..", "top/sub/up");
    symlink("/proc/self/fd/1", "top/magic");
    symlink("loop", "top/loop");
    int top = open("top", O_PATH | O_DIRECTORY), file = open("top/file", O_RDONLY);
    static const char *names[] = {"file", "./file", "sub/file", "in", "out", "abs", "sub/../file", "../outside", "sub/../../outside", "sub/up/file",
        "sub/up/up", "/outside", "/file", "//sub/../../../file", "/", ".", "..", "loop", "magic", "nothing", "file/x", "sub/", "/proc", "/proc/self/exe", "", "sub/../abs"};
    static const int resolves[] = {0, NO_XDEV, NO_MAGIC, NO_SYM, BENEATH, IN_ROOT, BENEATH | NO_SYM};
    for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
        for (unsigned r = 0; r < sizeof resolves / sizeof *resolves; r++) {
            // What there is in the root directory is not ours to say.
            if (names[n][0] == '/' && resolves[r] != IN_ROOT && strcmp(names[n], "/proc/self/exe") && strcmp(names[n], "/outside"))
                continue;
            const char *got = try(top, names[n], O_RDONLY, 0, resolves[r]);
            if (!strncmp(got, "ok file", 7) && (!strncmp(names[n], "/proc", 5) || !strcmp(names[n], "magic")))
                got = "ok";
            printf("%s %x: %s\n", names[n], resolves[r], got);
        }
    printf("cwd beneath: %s", try(AT_FDCWD, "top/out", O_RDONLY, 0, BENEATH));
    printf(", %s", try(AT_FDCWD, "top/abs", O_RDONLY, 0, BENEATH));
    printf(", %s", try(AT_FDCWD, "/x", O_RDONLY, 0, BENEATH));
    printf(", root of a file: %s", try(file, "x", O_RDONLY, 0, IN_ROOT));
    printf(", closed: %s\n", try(99, "x", O_RDONLY, 0, IN_ROOT));
    printf("link itself: %s", try(top, "in", O_PATH | O_NOFOLLOW, 0, NO_SYM));
    printf(", %s", try(top, "in", O_RDONLY | O_NOFOLLOW, 0, NO_SYM));
    printf(", %s\n", try(top, "sub/up/file", O_PATH | O_NOFOLLOW, 0, NO_SYM));
    printf("into a mount: %s", try(AT_FDCWD, "/proc/self", O_RDONLY, 0, NO_XDEV));
    int proc = open("/proc/self", O_PATH);
    printf(", there: %s", try(proc, "status", O_RDONLY, 0, NO_XDEV));
    printf(", out of it: %s", try(proc, "../../", O_RDONLY, 0, NO_XDEV));
    printf(", by a magic link: %s", try(proc, "cwd", O_RDONLY, 0, NO_XDEV));
    printf(", %s", try(proc, "cwd", O_RDONLY, 0, NO_MAGIC));
    printf(", %s", try(proc, "cwd/outside", O_RDONLY, 0, BENEATH));
    printf(", %s\n", try(proc, "cwd/outside", O_RDONLY, 0, 0));
    printf("create: %s", try(top, "new", O_CREAT | O_RDWR, 0600, BENEATH));
    printf(", outside: %s", try(top, "../new", O_CREAT | O_RDWR, 0600, BENEATH));
    printf(", in root: %s", try(top, "/../new2", O_CREAT | O_EXCL | O_RDWR, 0600, IN_ROOT));
    printf(" %d %d", access("top/new2", F_OK), access("new2", F_OK));
    printf(", tmpfile: %s\n", try(top, "sub/..", O_TMPFILE | O_RDWR, 0600, BENEATH));
    printf("mode without create: %s", try(top, "file", O_RDONLY, 0600, 0));
    printf(", bad mode: %s", try(top, "new3", O_CREAT | O_RDWR, 0200600, 0));
    printf(", bad flag: %s", try(top, "file", 0x40000000, 0, 0));
    printf(", path and write: %s", try(top, "file", O_PATH | O_WRONLY, 0, 0));
    printf(", path and cloexec: %s", try(top, "file", O_PATH | O_CLOEXEC, 0, 0));
    printf(", bad resolve: %s", try(top, "file", O_RDONLY, 0, 0x100));
    printf(", both: %s\n", try(top, "file", O_RDONLY, 0, BENEATH | IN_ROOT));
    uint64_t how[8] = {0};
    printf("sizes:");
    int sizes[] = {0, 16, 23, 24, 32, 64};
    for (int i = 0; i < 6; i++) {
        int fd = syscall(SYS_openat2, top, "file", how, sizes[i]);
        printf(" %s", fd < 0 ? strerror(errno) : "ok");
        if (fd >= 0)
            close(fd);
    }
    how[3] = 1;
    int fd = syscall(SYS_openat2, top, "file", how, 32);
    printf(", more: %s", fd < 0 ? strerror(errno) : "ok");
    fd = syscall(SYS_openat2, top, "file", 8L, 24);
    printf(", address: %s\n", fd < 0 ? strerror(errno) : "ok");

    // name_to_handle_at
    struct { unsigned bytes; int type; unsigned char data[128]; } h = {128}, h2 = {128};
    int id = -1, id2 = -1;
    printf("handle %s", syscall(SYS_name_to_handle_at, top, "file", &h, &id, 0) ? strerror(errno) : "ok");
    printf(", by descriptor %s", syscall(SYS_name_to_handle_at, file, "", &h2, &id2, AT_EMPTY_PATH) ? strerror(errno) : "ok");
    printf(", the same %d %d", h.bytes == h2.bytes && h.type == h2.type && !memcmp(h.data, h2.data, h.bytes), id == id2);
    printf(", %u bytes, type %d", h.bytes, h.type);
    syscall(SYS_name_to_handle_at, top, "sub/file", &h2, &id2, 0);
    printf(", another %d", !memcmp(h.data, h2.data, h.bytes));
    h2.bytes = 0;
    printf(", no room %s", syscall(SYS_name_to_handle_at, top, "file", &h2, &id2, 0) ? strerror(errno) : "ok");
    printf(" %u %d", h2.bytes, h2.type);
    h2.bytes = 129;
    printf(", too much %s", syscall(SYS_name_to_handle_at, top, "file", &h2, &id2, 0) ? strerror(errno) : "ok");
    h2.bytes = 128;
    printf(", proc %s", syscall(SYS_name_to_handle_at, AT_FDCWD, "/proc/self", &h2, &id2, 0) ? strerror(errno) : "ok");
    printf(", link %s", syscall(SYS_name_to_handle_at, top, "abs", &h2, &id2, 0) ? strerror(errno) : "ok");
    printf(", followed %s", syscall(SYS_name_to_handle_at, top, "abs", &h2, &id2, AT_SYMLINK_FOLLOW) ? strerror(errno) : "ok");
    printf(", flag %s", syscall(SYS_name_to_handle_at, top, "file", &h2, &id2, 0x100) ? strerror(errno) : "ok");
    syscall(SYS_name_to_handle_at, AT_FDCWD, "/dev/shm", &h2, &id2, 0);
    printf(", other mount %d, type %d, %u bytes\n", id != id2, h2.type, h2.bytes);

    // execveat
    int self = open("/proc/self/exe", O_RDONLY), cloexec = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), path = open("/proc/self/exe", O_PATH);
    char link[PATH_MAX];
    link[readlink("/proc/self/exe", link, sizeof link - 1)] = 0;
    symlink(link, "top/program");
    run("descriptor", self, "", AT_EMPTY_PATH);
    run("close-on-exec", cloexec, "", AT_EMPTY_PATH);
    run("O_PATH", path, "", AT_EMPTY_PATH);
    run("no flag", self, "", 0);
    run("name", self, "x", 0);
    run("directory", top, "", AT_EMPTY_PATH);
    run("link", top, "program", AT_SYMLINK_NOFOLLOW);
    run("bad flag", self, "", AT_EMPTY_PATH | 1);
    run("not executable", top, "file", 0);
    run("closed", 99, "", AT_EMPTY_PATH);
    fd = open("top/script", O_CREAT | O_WRONLY, 0755);
    dprintf(fd, "#!%s\n", link);
    fchmod(fd, 0755);
    close(fd);
    int script = open("top/script", O_RDONLY | O_CLOEXEC);
    run("script", script, "", AT_EMPTY_PATH);
    chmod("top/file", 0755);
    run("no program", top, "file", 0);
    return 0;
}
