// SPDX-License-Identifier: GPL-2.0-or-later
// flock(2), record locks and OFD locks between processes; /proc/locks. argv[1]: a directory to work in.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char path[4096];
static int to_child[2], to_parent[2];

static void nap(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

static const char *name(int ret)
{
    if (ret >= 0)
        return "ok";
    switch (errno) {
    case EAGAIN: return "EAGAIN";
    case EBADF: return "EBADF";
    case EDEADLK: return "EDEADLK";
    case EFAULT: return "EFAULT";
    case EINTR: return "EINTR";
    case EINVAL: return "EINVAL";
    case EOVERFLOW: return "EOVERFLOW";
    default: return strerror(errno);
    }
}

static int rec(int fd, int cmd, int type, long start, long len)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, cmd, &fl);
}

static const char *type_name(int t)
{
    return t == F_RDLCK ? "read" : t == F_WRLCK ? "write" : "unlocked";
}

static void get(const char *what, int fd, int cmd, int type, long start, long len, pid_t child)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    int ret = fcntl(fd, cmd, &fl);
    if (ret < 0) {
        printf("%s: %s\n", what, strerror(errno));
        return;
    }
    const char *who = fl.l_pid == getpid() ? "me" : child && fl.l_pid == child ? "child" : fl.l_pid == getppid() ? "parent" : fl.l_pid == -1 ? "-1" : fl.l_pid == 0 ? "0" : "?";
    printf("%s: %s %ld+%ld whence %d by %s\n", what, type_name(fl.l_type), (long)fl.l_start, (long)fl.l_len, fl.l_whence, who);
}

// The lines of `file` that are about our inode, without pids and device.
static void show(const char *file, unsigned long ino, pid_t child)
{
    FILE *f = fopen(file, "r");
    char line[300];
    char want[40];
    sprintf(want, ":%lu ", ino);
    while (fgets(line, sizeof line, f)) {
        char *at = strstr(line, want);
        if (!at)
            continue;
        char *colon = strchr(line, ':');
        char kind[20], mode[20], type[20], dev[60], start[30], end[30];
        int arrow = 0, pid, used = 0;
        char *rest = colon + 1;
        if (!strncmp(line, "lock:", 5))
            rest = strchr(rest, ':') + 1;
        int spaces = strspn(rest, " ");
        char *p = strstr(rest, "->");
        // Who waits for somebody who waits is shown since v5.13.
        if (p && spaces > 1)
            continue;
        if (p)
            rest = p + 2;
        sscanf(rest, " %s %s %s %d %s %s %s", kind, mode, type, &pid, dev, start, end);
        printf("  %s%s %s %s %s %s..%s\n", p ? "-> " : "", kind, mode, type, pid == getpid() ? "me" : pid == child ? "child" : pid == -1 ? "-1" : "?", start, end);
    }
    fclose(f);
}

// Until `pid` waits for a lock; who waits for an OFD lock is shown as -1.
static void blocked(pid_t pid)
{
    char line[300];
    for (;;) {
        FILE *f = fopen("/proc/locks", "r");
        while (fgets(line, sizeof line, f)) {
            char *p = strstr(line, "-> ");
            int found = 0;
            if (p && sscanf(p + 3, "%*s %*s %*s %d", &found) == 1 && (found == pid || found == -1)) {
                fclose(f);
                return;
            }
        }
        fclose(f);
        nap(1);
    }
}

static void say(int fd) { char c = 'x'; if (write(fd, &c, 1) != 1) abort(); }
static void hear(int fd) { char c; if (read(fd, &c, 1) != 1) abort(); }

static void test_flock(void)
{
    int a = open(path, O_RDWR), b = open(path, O_RDONLY), d = dup(a);
    printf("ex %s", name(flock(a, LOCK_EX)));
    printf(", other sh nb %s", name(flock(b, LOCK_SH | LOCK_NB)));
    printf(", dup again %s\n", name(flock(d, LOCK_EX | LOCK_NB)));
    printf("down to sh %s", name(flock(d, LOCK_SH | LOCK_NB)));
    printf(", other sh %s", name(flock(b, LOCK_SH | LOCK_NB)));
    printf(", up nb %s", name(flock(a, LOCK_EX | LOCK_NB)));
    // A failed upgrade has lost the old lock.
    printf(", other up %s\n", name(flock(b, LOCK_EX | LOCK_NB)));
    printf("un %s", name(flock(b, LOCK_UN)));
    printf(", un again %s", name(flock(b, LOCK_UN)));
    printf(", ex %s\n", name(flock(a, LOCK_EX)));
    close(a);
    printf("a dup is left: %s\n", name(flock(b, LOCK_EX | LOCK_NB)));
    pid_t pid = fork();
    if (!pid) {
        printf("the child has it too: %s\n", name(flock(d, LOCK_EX | LOCK_NB)));
        say(to_parent[1]);
        hear(to_child[0]);
        _exit(0);
    }
    hear(to_parent[0]);
    close(d);
    printf("parent closed: %s\n", name(flock(b, LOCK_SH | LOCK_NB)));
    say(to_child[1]);
    waitpid(pid, NULL, 0);
    printf("child gone: %s\n", name(flock(b, LOCK_SH | LOCK_NB)));
    printf("bad cmd %s", name(flock(b, 0)));
    printf(", %s", name(flock(b, LOCK_SH | LOCK_EX)));
    printf(", bad fd %s", name(flock(999, LOCK_SH)));
    int p = open(path, O_PATH);
    printf(", path %s, pipe ", name(flock(p, LOCK_SH)));
    printf("%s\n", name(flock(to_child[0], LOCK_EX)));
    close(b);
    close(p);
}

static void test_flock_waits(void)
{
    int a = open(path, O_RDWR);
    struct stat st;
    fstat(a, &st);
    flock(a, LOCK_EX);
    pid_t pid = fork();
    if (!pid) {
        int b = open(path, O_RDWR);
        say(to_parent[1]);
        printf("child waited: %s\n", name(flock(b, LOCK_EX)));
        _exit(0);
    }
    hear(to_parent[0]);
    blocked(pid);
    show("/proc/locks", st.st_ino, pid);
    char info[60];
    sprintf(info, "/proc/self/fdinfo/%d", a);
    show(info, st.st_ino, pid);
    printf("release\n");
    flock(a, LOCK_UN);
    waitpid(pid, NULL, 0);
    close(a);
}

static void handler(int sig) { (void)sig; }

static void test_signals(void)
{
    int a = open(path, O_RDWR);
    flock(a, LOCK_EX);
    rec(a, F_SETLK, F_WRLCK, 0, 0);
    pid_t pid = fork();
    if (!pid) {
        struct sigaction sa = {.sa_handler = handler};
        sigaction(SIGUSR1, &sa, NULL);
        int b = open(path, O_RDWR);
        say(to_parent[1]);
        printf("flock %s", name(flock(b, LOCK_EX)));
        say(to_parent[1]);
        printf(", setlkw %s", name(rec(b, F_SETLKW, F_RDLCK, 10, 10)));
        say(to_parent[1]);
        printf(", ofd %s\n", name(rec(b, F_OFD_SETLKW, F_RDLCK, 10, 10)));
        sa.sa_flags = SA_RESTART;
        sigaction(SIGUSR1, &sa, NULL);
        say(to_parent[1]);
        printf("restarted: %s\n", name(rec(b, F_SETLKW, F_RDLCK, 10, 10)));
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        hear(to_parent[0]);
        blocked(pid);
        kill(pid, SIGUSR1);
    }
    nap(30);
    blocked(pid);
    rec(a, F_SETLK, F_UNLCK, 0, 0);
    waitpid(pid, NULL, 0);
    close(a);
}

static void test_ranges(void)
{
    int a = open(path, O_RDWR);
    struct stat st;
    fstat(a, &st);
    pid_t me = getpid();
    printf("set %d", rec(a, F_SETLK, F_WRLCK, 100, 100));
    printf(" %d", rec(a, F_SETLK, F_RDLCK, 140, 20));
    printf(" %d", rec(a, F_SETLK, F_UNLCK, 110, 10));
    printf(" %d", rec(a, F_SETLK, F_WRLCK, 200, 50));
    printf(" %d", rec(a, F_SETLK, F_RDLCK, 1000, 0));
    printf(" %d\n", rec(a, F_SETLK, F_RDLCK, 500, -20));
    show("/proc/locks", st.st_ino, 0);
    if (!fork()) {
        int b = open(path, O_RDWR);
        get("105", b, F_GETLK, F_RDLCK, 105, 1, 0);
        get("115", b, F_GETLK, F_WRLCK, 115, 1, 0);
        get("110..145 read", b, F_GETLK, F_RDLCK, 110, 35, 0);
        get("150 read", b, F_GETLK, F_RDLCK, 150, 5, 0);
        get("all", b, F_GETLK, F_WRLCK, 0, 0, 0);
        get("high", b, F_GETLK, F_WRLCK, 5000, 1, 0);
        get("getlk of unlck", b, F_GETLK, F_UNLCK, 0, 0, 0);
        printf("set %s", name(rec(b, F_SETLK, F_WRLCK, 100, 1)));
        printf(", %s", name(rec(b, F_SETLK, F_RDLCK, 150, 1)));
        printf(", %s\n", name(rec(b, F_SETLK, F_WRLCK, 110, 10)));
        _exit(0);
    }
    wait(NULL);
    // All become one.
    rec(a, F_SETLK, F_WRLCK, 0, 2000);
    show("/proc/locks", st.st_ino, 0);
    rec(a, F_SETLK, F_RDLCK, 0, 0);
    show("/proc/locks", st.st_ino, 0);
    // Any descriptor of the file releases all of them.
    close(open(path, O_RDONLY));
    show("/proc/locks", st.st_ino, 0);
    printf("inherited by nobody: %d", rec(a, F_SETLK, F_WRLCK, 0, 10));
    if (!fork()) {
        printf(" %s", name(rec(a, F_SETLK, F_RDLCK, 5, 1)));
        close(a);
        _exit(0);
    }
    wait(NULL);
    if (!fork()) {
        int b = open(path, O_RDWR);
        get(" still", b, F_GETLK, F_WRLCK, 5, 1, 0);
        _exit(0);
    }
    wait(NULL);
    dup2(to_child[0], a);
    close(a);
    show("/proc/locks", st.st_ino, 0);
}

static void test_errors(void)
{
    int r = open(path, O_RDONLY), w = open(path, O_WRONLY), p = open(path, O_PATH);
    printf("%s", name(rec(r, F_SETLK, F_WRLCK, 0, 1)));
    printf(" %s", name(rec(w, F_SETLK, F_RDLCK, 0, 1)));
    printf(" %s", name(rec(p, F_SETLK, F_RDLCK, 0, 1)));
    printf(" %s", name(rec(r, F_SETLK, 7, 0, 1)));
    printf(" %s", name(rec(r, F_SETLK, F_RDLCK, -1, 1)));
    printf(" %s", name(rec(r, F_SETLK, F_RDLCK, 5, -6)));
    printf(" %s", name(rec(r, F_SETLK, F_RDLCK, LONG_MAX, 1)));
    printf(" %s", name(rec(r, F_SETLK, F_RDLCK, LONG_MAX, 2)));
    printf(" %s", name(rec(r, F_SETLK, F_RDLCK, 5, LONG_MIN)));
    printf(" %s", name(rec(r, F_SETLK, F_UNLCK, 0, 0)));
    printf(" %s", name(rec(r, F_GETLK, F_WRLCK, 0, 0)));
    printf(" %s\n", name(rec(to_child[0], F_SETLK, F_RDLCK, 0, 1)));
    struct flock fl = {.l_type = F_WRLCK, .l_whence = 3};
    printf("whence %s", name(fcntl(w, F_SETLK, &fl)));
    fl.l_whence = SEEK_CUR;
    lseek(w, 30, SEEK_SET);
    fl.l_start = -10;
    fl.l_len = 5;
    printf(", cur %s", name(fcntl(w, F_SETLK, &fl)));
    fl.l_whence = SEEK_END;
    fl.l_start = -1;
    fl.l_len = 0;
    printf(", end %s", name(fcntl(w, F_SETLK, &fl)));
    fl.l_start = LONG_MAX;
    printf(", far %s", name(fcntl(w, F_SETLK, &fl)));
    printf(", fault %s", name(fcntl(w, F_SETLK, (void *)8)));
    fl.l_whence = 0;
    fl.l_start = 0;
    fl.l_pid = 5;
    printf(", pid %s", name(fcntl(w, F_SETLK, &fl)));
    printf(", ofd pid %s", name(fcntl(w, F_OFD_SETLK, &fl)));
    printf(", ofd get pid %s\n", name(fcntl(w, F_OFD_GETLK, &fl)));
    struct stat st;
    fstat(w, &st);
    show("/proc/locks", st.st_ino, 0);
    close(r);
    close(w);
    close(p);
}

static void test_ofd(void)
{
    int a = open(path, O_RDWR), b = open(path, O_RDWR), d = dup(a);
    struct stat st;
    fstat(a, &st);
    printf("ofd %d", rec(a, F_OFD_SETLK, F_WRLCK, 0, 100));
    printf(", other %s", name(rec(b, F_OFD_SETLK, F_RDLCK, 50, 1)));
    printf(", own record lock %s", name(rec(a, F_SETLK, F_RDLCK, 50, 1)));
    printf(", beside %d", rec(b, F_SETLK, F_WRLCK, 100, 10));
    printf(", dup %d\n", rec(d, F_OFD_SETLK, F_RDLCK, 20, 10));
    get("of own", a, F_OFD_GETLK, F_WRLCK, 0, 50, 0);
    get("of other", b, F_OFD_GETLK, F_WRLCK, 0, 50, 0);
    get("posix sees", b, F_GETLK, F_WRLCK, 0, 50, 0);
    get("ofd sees", a, F_OFD_GETLK, F_WRLCK, 0, 0, 0);
    show("/proc/locks", st.st_ino, 0);
    pid_t pid = fork();
    if (!pid) {
        printf("child shares %d", rec(a, F_OFD_SETLK, F_WRLCK, 0, 10));
        printf(", posix %s\n", name(rec(a, F_SETLK, F_WRLCK, 100, 1)));
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    close(a);
    printf("closed one %s", name(rec(b, F_OFD_SETLK, F_RDLCK, 50, 1)));
    close(d);
    printf(", closed both %s\n", name(rec(b, F_OFD_SETLK, F_RDLCK, 50, 1)));
    close(b);
}

static void test_deadlock(void)
{
    int a = open(path, O_RDWR);
    rec(a, F_SETLK, F_WRLCK, 0, 1);
    pid_t pid = fork();
    if (!pid) {
        rec(a, F_SETLK, F_WRLCK, 1, 1);
        say(to_parent[1]);
        printf("child: %s\n", name(rec(a, F_SETLKW, F_WRLCK, 0, 1)));
        _exit(0);
    }
    hear(to_parent[0]);
    blocked(pid);
    struct stat st;
    fstat(a, &st);
    printf("parent: %s", name(rec(a, F_SETLKW, F_RDLCK, 1, 1)));
    printf(", its own: %s\n", name(rec(a, F_SETLKW, F_WRLCK, 0, 1)));
    show("/proc/locks", st.st_ino, pid);
    rec(a, F_SETLK, F_UNLCK, 0, 0);
    waitpid(pid, NULL, 0);
    // Three in a ring; the last closes it.
    int pids[2], ring[2][2];
    if (pipe(ring[0]) || pipe(ring[1]))
        abort();
    rec(a, F_SETLK, F_WRLCK, 0, 1);
    for (int i = 1; i <= 2; i++) {
        pids[i - 1] = fork();
        if (!pids[i - 1]) {
            rec(a, F_SETLK, F_WRLCK, i, 1);
            say(to_parent[1]);
            hear(ring[i - 1][0]);
            int ret = rec(a, F_SETLKW, F_WRLCK, i - 1, 1);
            printf("ring %d: %s\n", i, name(ret));
            _exit(0);
        }
        hear(to_parent[0]);
    }
    for (int i = 0; i < 2; i++) {
        say(ring[i][1]);
        blocked(pids[i]);
    }
    printf("ring 0: %s\n", name(rec(a, F_SETLKW, F_WRLCK, 2, 1)));
    rec(a, F_SETLK, F_UNLCK, 0, 0);
    waitpid(pids[0], NULL, 0);
    waitpid(pids[1], NULL, 0);
    close(a);
}

static void test_queue(void)
{
    // Readers wait behind a writer's lock; a writer behind them; each gets its turn.
    int a = open(path, O_RDWR);
    struct stat st;
    fstat(a, &st);
    rec(a, F_SETLK, F_WRLCK, 0, 100);
    pid_t pids[3];
    static const int types[] = {F_RDLCK, F_RDLCK, F_WRLCK};
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (!pids[i]) {
            say(to_parent[1]);
            rec(a, F_SETLKW, types[i], i, 10);
            nap(50 * i);
            printf("waiter %d has a %s lock\n", i, type_name(types[i]));
            _exit(0);
        }
        hear(to_parent[0]);
        // The last one waits for somebody who waits.
        if (i < 2)
            blocked(pids[i]);
        else
            nap(100);
    }
    show("/proc/locks", st.st_ino, 0);
    printf("downgrade\n");
    rec(a, F_SETLK, F_RDLCK, 0, 100);
    waitpid(pids[0], NULL, 0);
    waitpid(pids[1], NULL, 0);
    printf("release\n");
    rec(a, F_SETLK, F_UNLCK, 0, 0);
    waitpid(pids[2], NULL, 0);
    close(a);
}

static int shared_fd;

static void *waiter(void *arg)
{
    printf("thread: %s\n", name(rec(shared_fd, F_SETLKW, F_WRLCK, 0, 1)));
    return NULL;
}

static void test_threads(void)
{
    // A descriptor that is closed while a thread waits for its lock: EBADF.
    int a = shared_fd = open(path, O_RDWR);
    pid_t pid = fork();
    if (!pid) {
        int b = open(path, O_RDWR);
        rec(b, F_SETLK, F_WRLCK, 0, 1);
        say(to_parent[1]);
        hear(to_child[0]);
        _exit(0);
    }
    hear(to_parent[0]);
    pthread_t t;
    pthread_create(&t, NULL, waiter, NULL);
    blocked(getpid());
    close(a);
    say(to_child[1]);
    pthread_join(t, NULL);
    waitpid(pid, NULL, 0);
}

static void test_exec(char **argv)
{
    int a = open(path, O_RDWR), b = open(path, O_RDWR | O_CLOEXEC);
    int c = open("/proc/self/exe", O_RDONLY);
    rec(a, F_SETLK, F_WRLCK, 0, 1);
    flock(a, LOCK_EX);
    rec(a, F_OFD_SETLK, F_WRLCK, 2, 1);
    char fd[20];
    sprintf(fd, "%d", a);
    (void)b;
    (void)c;
    execl("/proc/self/exe", "locks", argv[1], fd, NULL);
    abort();
}

int main(int argc, char **argv)
{
    struct stat st;
    cpu_set_t one;
    // /proc/locks has a list for each CPU.
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    setvbuf(stdout, NULL, _IONBF, 0);
    snprintf(path, sizeof path, "%s/locked", argv[1]);
    if (argc > 2) {
        // After execve: the close of `b` has taken the record lock away.
        stat(path, &st);
        show("/proc/locks", st.st_ino, 0);
        return 0;
    }
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    if (write(fd, "0123456789", 10) != 10 || pipe(to_child) || pipe(to_parent))
        abort();
    test_flock();
    test_flock_waits();
    test_signals();
    test_ranges();
    test_errors();
    test_ofd();
    test_deadlock();
    test_queue();
    test_threads();
    close(fd);
    test_exec(argv);
}
