// SPDX-License-Identifier: GPL-2.0-or-later
// signalfd, timerfd, and eventfd in /proc/self/fdinfo.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static int ready_for(int fd)
{
    struct pollfd p = {fd, POLLIN | POLLOUT};
    poll(&p, 1, 0);
    return p.revents;
}

static void fdinfo(int fd, const char *skip)
{
    char name[60], line[200];
    sprintf(name, "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(name, "r");
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "mnt_id", 6) && strncmp(line, "ino:", 4) && !(skip && !strncmp(line, skip, strlen(skip))) &&
            strncmp(line, "eventfd-id", 10) && strncmp(line, "eventfd-sem", 11))
            printf("  %s", line);
    fclose(f);
}

static void show(int fd)
{
    struct signalfd_siginfo info[4];
    int n = read(fd, info, sizeof info);
    if (n < 0) {
        printf(" [%s]", strerror(errno));
        return;
    }
    for (int i = 0; i < n / 128; i++)
        printf(" [%d code %d pid %d uid %d int %d ptr %llx status %d overrun %d tid %d addr %llx]", info[i].ssi_signo, info[i].ssi_code,
               info[i].ssi_pid == getpid() ? 1 : info[i].ssi_pid ? 2 : 0, info[i].ssi_uid == getuid(), info[i].ssi_int,
               (unsigned long long)info[i].ssi_ptr, info[i].ssi_status, info[i].ssi_overrun, info[i].ssi_tid, (unsigned long long)info[i].ssi_addr);
}

static void test_signalfd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    sigaddset(&set, SIGKILL);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    printf("signalfd %s, cloexec %d, flags %o, ready %x", err(fd), fcntl(fd, F_GETFD), fcntl(fd, F_GETFL), ready_for(fd));
    show(fd);
    printf("\n");
    fdinfo(fd, NULL);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    union sigval v = {.sival_ptr = (void *)0x123456789abL};
    sigqueue(getpid(), SIGRTMIN + 3, v);
    sigqueue(getpid(), SIGRTMIN + 3, v);
    raise(SIGUSR1);
    printf("ready %x", ready_for(fd));
    show(fd);
    printf("\nafterwards %x\n", ready_for(fd));
    if (!fork())
        _exit(9);
    struct pollfd p = {fd, POLLIN};
    printf("poll %d", poll(&p, 1, -1));
    show(fd);
    printf("\n");
    wait(NULL);
    // The child reads its own signals by the parent's descriptor.
    kill(getpid(), SIGUSR1);
    if (!fork()) {
        printf("child:");
        show(fd);
        raise(SIGUSR1);
        show(fd);
        printf("\n");
        _exit(0);
    }
    wait(NULL);
    show(fd);
    printf("\n");
    // Another set; a timer's signal; a blocking read that a child's signal ends.
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    printf("other set %d", signalfd(fd, &set, 0) == fd);
    raise(SIGUSR1);
    printf(" ready %x", ready_for(fd));
    printf(", flags %s", err(signalfd(-1, &set, 1)));
    printf(", size %s", err(syscall(SYS_signalfd4, -1, &set, 4, 0)));
    printf(", bad fd %s", err(signalfd(99, &set, 0)));
    printf(", no signalfd %s", err(signalfd(0, &set, 0)));
    printf(", address %s", err(syscall(SYS_signalfd4, -1, 8L, 8, 0)));
    printf(", short read %s", err(read(fd, &set, 100)));
    printf(", write %s\n", err(write(fd, &set, 100)));
    fcntl(fd, F_SETFL, 0);
    pid_t pid = fork();
    if (!pid) {
        usleep(10000);
        kill(getppid(), SIGUSR2);
        _exit(0);
    }
    show(fd);
    waitpid(pid, NULL, 0);
    timer_t timer;
    struct sigevent sev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value.sival_int = 55};
    timer_create(CLOCK_MONOTONIC, &sev, &timer);
    struct itimerspec its = {{0, 0}, {0, 1000000}};
    timer_settime(timer, 0, &its, NULL);
    show(fd);
    alarm(0);
    printf("\n");
    timer_delete(timer);
    // epoll
    int ep = epoll_create1(0);
    struct epoll_event ev = {EPOLLIN, {.u32 = 3}};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    printf("epoll %d", epoll_wait(ep, &ev, 1, 0));
    raise(SIGUSR2);
    printf(" %d %x", epoll_wait(ep, &ev, 1, 0), ev.events);
    show(fd);
    printf(" %d\n", epoll_wait(ep, &ev, 1, 0));
    close(ep);
    close(fd);
}

static void handler(int sig) { (void)sig; }

static uint64_t ticks(int fd)
{
    uint64_t n = 0;
    if (read(fd, &n, 8) < 0) {
        printf("{%s}", strerror(errno));
        return 0;
    }
    return n;
}

static void test_timerfd(void)
{
    struct itimerspec its = {{0, 0}, {0, 0}}, old;
    printf("clocks");
    for (int c = -1; c < 12; c++) {
        int fd = timerfd_create(c, 0);
        printf(" %s", fd >= 0 ? "ok" : errno == EINVAL ? "EINVAL" : "?");
        close(fd);
    }
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    printf("\nflags %o %d, bad %s", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD), err(timerfd_create(CLOCK_MONOTONIC, 1)));
    printf(", ready %x, read ", ready_for(fd));
    ticks(fd);
    printf("\n");
    fdinfo(fd, NULL);
    its.it_value.tv_nsec = 300000000;
    printf("set %s, ready %x", err(timerfd_settime(fd, 0, &its, &old)), ready_for(fd));
    timerfd_gettime(fd, &old);
    printf(", left %d", old.it_value.tv_sec == 0 && old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 300000000);
    struct pollfd p = {fd, POLLIN};
    printf(", poll %d", poll(&p, 1, -1));
    printf(", ticks %d, then ", (int)ticks(fd));
    ticks(fd);
    timerfd_gettime(fd, &old);
    printf(", left %ld.%09ld\n", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
    // An interval goes on by itself.
    its.it_value.tv_nsec = 400000000;
    its.it_interval.tv_nsec = 400000000;
    timerfd_settime(fd, 0, &its, NULL);
    usleep(1000000);
    printf("after 2.5 intervals %d", (int)ticks(fd));
    usleep(400000);
    printf(", one more %d", (int)ticks(fd));
    usleep(900000);
    timerfd_gettime(fd, &old);
    printf(", asked %d", old.it_value.tv_nsec > 0 && old.it_value.tv_nsec <= 400000000 && old.it_interval.tv_nsec == 400000000);
    printf(", ticks %d", (int)ticks(fd));
    its.it_value.tv_nsec = 0;
    printf(", stop %s", err(timerfd_settime(fd, 0, &its, &old)));
    printf(" %d", old.it_value.tv_nsec > 0 && old.it_interval.tv_nsec == 400000000);
    timerfd_gettime(fd, &old);
    printf(", stopped %ld %ld\n", old.it_value.tv_nsec, old.it_interval.tv_nsec);
    // Moments.
    clock_gettime(CLOCK_MONOTONIC, &its.it_value);
    its.it_interval.tv_nsec = 0;
    its.it_value.tv_sec -= 1;
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL);
    printf("in the past %x %d", ready_for(fd), (int)ticks(fd));
    int rt = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &its.it_value);
    its.it_value.tv_sec += 10;
    timerfd_settime(rt, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL);
    timerfd_gettime(rt, &old);
    printf(", of the wall clock %d", old.it_value.tv_sec >= 8 && old.it_value.tv_sec < 10);
    its.it_value.tv_nsec = 1000000000;
    printf(", bad %s", err(timerfd_settime(rt, 0, &its, NULL)));
    its.it_value.tv_nsec = 0;
    its.it_value.tv_sec = -1;
    printf(", negative %s", err(timerfd_settime(rt, 0, &its, NULL)));
    its.it_value.tv_sec = 1;
    printf(", flags %s", err(timerfd_settime(rt, 4, &its, NULL)));
    printf(", no timerfd %s", err(timerfd_settime(0, 0, &its, NULL)));
    printf(", %s", err(timerfd_gettime(0, &old)));
    printf(", closed %s", err(timerfd_gettime(99, &old)));
    printf(", short %s", err(read(rt, &its, 4)));
    printf(", write %s\n", err(write(rt, &its, 8)));
    fdinfo(rt, "it_value");
    // A blocking read, ended by a signal, and by time.
    struct sigaction sa = {.sa_handler = handler};
    sigaction(SIGVTALRM, &sa, NULL);
    pid_t pid = fork();
    if (!pid) {
        usleep(5000);
        kill(getppid(), SIGVTALRM);
        _exit(0);
    }
    printf("signal ");
    ticks(rt);
    waitpid(pid, NULL, 0);
    its.it_value.tv_sec = 0;
    its.it_value.tv_nsec = 3000000;
    timerfd_settime(rt, 0, &its, NULL);
    printf(", time %d\n", (int)ticks(rt));
    close(rt);
    close(fd);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    test_signalfd();
    test_timerfd();
    int fd = eventfd(26, 0);
    fdinfo(fd, NULL);
    return 0;
}
