// SPDX-License-Identifier: GPL-2.0-or-later
// pidfds: open, clone, wait, poll, signal, getfd.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_send 424
#define NR_open 434
#define NR_clone3 435
#define NR_getfd 438
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif

static int go[2], ready[2];

static const char *err(long ret)
{
    static char text[4][60];
    static int n;
    char *t = text[n++ % 4];
    if (ret >= 0)
        strcpy(t, "ok");
    else
        snprintf(t, 60, "%s", strerror(errno));
    return t;
}

static int pidfd_open(pid_t pid, unsigned flags) { return syscall(NR_open, pid, flags); }
static int send_signal(int fd, int sig, siginfo_t *info, unsigned flags) { return syscall(NR_send, fd, sig, info, flags); }
static int getfd(int pidfd, int fd, unsigned flags) { return syscall(NR_getfd, pidfd, fd, flags); }

static int ready_for(int fd)
{
    struct pollfd p = {fd, POLLIN | POLLHUP};
    poll(&p, 1, 0);
    // POLLHUP is said of a process that was waited for since v6.9.
    return p.revents & ~POLLHUP;
}

static pid_t child(int status)
{
    pid_t pid = fork();
    if (!pid) {
        char c;
        read(go[0], &c, 1);
        _exit(status);
    }
    return pid;
}

static void release(void) { write(go[1], "x", 1); }

static void test_open(void)
{
    int fd = pidfd_open(getpid(), 0);
    printf("self %s", err(fd));
    printf(", cloexec %d", fcntl(fd, F_GETFD));
    printf(", flags %o\n", fcntl(fd, F_GETFL));
    int nb = pidfd_open(getpid(), O_NONBLOCK);
    printf("nonblock %s %o, ", err(nb), fcntl(nb, F_GETFL));
    printf("flags %s, ", err(pidfd_open(getpid(), 1)));
    printf("pid 0 %s, ", err(pidfd_open(0, 0)));
    printf("pid -1 %s, ", err(pidfd_open(-1, 0)));
    printf("none %s, ", err(pidfd_open(4194303, 0)));
    char buf[100], name[60];
    printf("read %s, ", err(read(fd, buf, 8)));
    printf("write %s, ", err(write(fd, buf, 8)));
    printf("poll %x\n", ready_for(fd));
    sprintf(name, "/proc/self/fd/%d", fd);
    int n = readlink(name, buf, sizeof buf);
    printf("%.*s\n", n, buf);
    sprintf(name, "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(name, "r");
    int pid, nspid, seen = 0;
    while (fgets(buf, sizeof buf, f)) {
        if (sscanf(buf, "Pid:\t%d", &pid) == 1)
            seen |= pid == getpid();
        if (sscanf(buf, "NSpid:\t%d", &nspid) == 1)
            seen |= 2 * (nspid == getpid());
    }
    fclose(f);
    printf("fdinfo %d\n", seen);
    close(fd);
    close(nb);
}

static void test_wait_and_poll(void)
{
    pid_t pid = child(7);
    int fd = pidfd_open(pid, 0), nb = pidfd_open(pid, O_NONBLOCK), ep = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN, {.u32 = 5}};
    printf("epoll %s, alive %x", err(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev)), ready_for(fd));
    siginfo_t info = {0};
    printf(", nonblocking waitid %s", err(waitid(3, nb, &info, WEXITED)));
    printf(", WNOHANG %s", err(waitid(3, nb, &info, WEXITED | WNOHANG)));
    release();
    printf(", epoll_wait %d", epoll_wait(ep, &ev, 1, -1));
    printf(" dead %x", ready_for(fd));
    printf(", WNOWAIT %s", err(waitid(3, fd, &info, WEXITED | WNOWAIT)));
    printf(" %d %d %d", info.si_pid == pid, info.si_code, info.si_status);
    printf(", waitid %s", err(waitid(3, nb, &info, WEXITED)));
    printf(" %d", info.si_status);
    printf(", again %s", err(waitid(3, fd, &info, WEXITED)));
    printf(", gone %x", ready_for(fd));
    printf(", signal %s\n", err(send_signal(fd, 0, NULL, 0)));
    printf("getfd of the dead %s, ", err(getfd(fd, 0, 0)));
    printf("open of the dead %s\n", err(pidfd_open(pid, 0)));
    printf("waitid of no pidfd %s, ", err(waitid(3, go[0], &info, WEXITED)));
    printf("closed %s, ", err(waitid(3, 999, &info, WEXITED)));
    int self = pidfd_open(getpid(), 0);
    printf("of myself %s\n", err(waitid(3, self, &info, WEXITED)));
    close(self);
    close(fd);
    close(nb);
    close(ep);
    // A child that is released by somebody else's poll: blocking poll.
    pid = child(3);
    fd = pidfd_open(pid, 0);
    if (!fork()) {
        usleep(20000);
        release();
        _exit(0);
    }
    struct pollfd p = {fd, POLLIN};
    printf("poll %d", poll(&p, 1, -1));
    printf(" %x", p.revents & POLLIN);
    waitpid(pid, NULL, 0);
    wait(NULL);
    // Nobody waits for children of a parent who ignores SIGCHLD.
    signal(SIGCHLD, SIG_IGN);
    pid = child(3);
    p.fd = pidfd_open(pid, 0);
    release();
    printf(", ignored: poll %d", poll(&p, 1, -1));
    printf(" %x", p.revents & POLLIN);
    printf(" waitid %s\n", err(waitid(3, p.fd, &info, WEXITED)));
    signal(SIGCHLD, SIG_DFL);
    close(p.fd);
    close(fd);
}

static void test_clone(void)
{
    int pidfd = -1;
    long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (!pid) {
        // The child has no such descriptor.
        _exit(fcntl(pidfd, F_GETFD) < 0 ? 4 : 5);
    }
    siginfo_t info = {0};
    printf("clone %d, cloexec %d", pidfd > 2, fcntl(pidfd, F_GETFD));
    printf(", waitid %s", err(waitid(3, pidfd, &info, WEXITED)));
    printf(" %d\n", info.si_status);
    close(pidfd);
    uint64_t args[8] = {CLONE_PIDFD, (uint64_t)&pidfd, 0, 0, SIGCHLD};
    pid = syscall(NR_clone3, args, sizeof args);
    if (!pid)
        _exit(6);
    waitid(3, pidfd, &info, WEXITED);
    printf("clone3 status %d", info.si_status);
    close(pidfd);
    printf(", with PARENT_SETTID %s", err(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &pidfd, 0, 0)));
    args[1] = 8;
    printf(", bad address %s\n", err(syscall(NR_clone3, args, sizeof args)));
    printf("none left behind: %s\n", err(wait(NULL)));
    int fd = dup(0);
    printf("lowest descriptor %d\n", fd < 8);
    close(fd);
}

static volatile int got, value;
static void handler(int sig, siginfo_t *info, void *ctx)
{
    got = sig * 1000 + info->si_code;
    value = info->si_value.sival_int;
}

static void test_signals(void)
{
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, NULL);
    int self = pidfd_open(getpid(), 0);
    printf("send %s", err(send_signal(self, SIGUSR1, NULL, 0)));
    printf(" got %d", got);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGUSR1;
    info.si_code = SI_QUEUE;
    info.si_value.sival_int = 77;
    printf(", queued %s", err(send_signal(self, SIGUSR1, &info, 0)));
    printf(" got %d value %d", got, value);
    printf(", other number %s", err(send_signal(self, SIGUSR2, &info, 0)));
    printf(", flags %s", err(send_signal(self, 0, NULL, 1u << 30)));
    printf(", bad signal %s\n", err(send_signal(self, 99, NULL, 0)));
    pid_t pid = child(0);
    int fd = pidfd_open(pid, 0);
    info.si_code = SI_USER;
    printf("as the kernel %s", err(send_signal(fd, SIGUSR1, &info, 0)));
    printf(", to myself %s", err(send_signal(self, SIGUSR1, &info, 0)));
    printf(", no pidfd %s", err(send_signal(go[0], 0, NULL, 0)));
    printf(", closed %s", err(send_signal(999, 0, NULL, 0)));
    char name[40];
    sprintf(name, "/proc/%d", pid);
    int dir = open(name, O_DIRECTORY | O_RDONLY);
    printf(", /proc/PID %s", err(send_signal(dir, 0, NULL, 0)));
    printf(", /proc %s", err(send_signal(open("/proc", O_RDONLY), 0, NULL, 0)));
    printf(", kill %s", err(send_signal(fd, SIGKILL, NULL, 0)));
    waitid(3, fd, &info, WEXITED);
    printf(" %d %d", info.si_code, info.si_status);
    printf(", /proc/PID of the dead %s\n", err(send_signal(dir, 0, NULL, 0)));
    close(dir);
    close(fd);
    close(self);
}

static void test_getfd(void)
{
    int p[2];
    pipe(p);
    pid_t pid = fork();
    if (!pid) {
        char c;
        dup2(p[1], 100);
        write(ready[1], "x", 1);
        read(go[0], &c, 1);
        _exit(0);
    }
    char c;
    read(ready[0], &c, 1);
    int fd = pidfd_open(pid, 0), mine = getfd(fd, 100, 0);
    printf("getfd %s, cloexec %d", err(mine), fcntl(mine, F_GETFD));
    write(mine, "y", 1);
    read(p[0], &c, 1);
    printf(", through it %c", c);
    printf(", none %s", err(getfd(fd, 101, 0)));
    printf(", flags %s", err(getfd(fd, 100, 1)));
    printf(", no pidfd %s\n", err(getfd(0, 100, 0)));
    release();
    waitpid(pid, NULL, 0);
    close(fd);
    close(mine);
    close(p[0]);
    close(p[1]);
}

static void *execs(void *arg)
{
    execl("/proc/self/exe", "pidfds", "sleep", NULL);
    return NULL;
}

static void test_threads(void)
{
    pthread_t t;
    // A pidfd outlives the leader's thread and an execve by another one.
    pid_t pid = fork();
    if (!pid) {
        pthread_create(&t, NULL, execs, NULL);
        for (;;)
            pause();
    }
    int fd = pidfd_open(pid, 0);
    char c;
    read(ready[0], &c, 1);
    printf("after execve %x %s", ready_for(fd), err(send_signal(fd, 0, NULL, 0)));
    send_signal(fd, SIGTERM, NULL, 0);
    struct pollfd p = {fd, POLLIN};
    poll(&p, 1, -1);
    int st;
    waitpid(pid, &st, 0);
    printf(", dead %x by %d\n", ready_for(fd), WTERMSIG(st));
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        write(4 + 1 + 1, "x", 1);
        pause();
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    // 3, 4 and 5, 6
    pipe(go);
    pipe(ready);
    test_open();
    test_wait_and_poll();
    test_clone();
    test_signals();
    test_getfd();
    test_threads();
    return 0;
}
