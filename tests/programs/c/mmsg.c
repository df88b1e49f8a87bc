// SPDX-License-Identifier: GPL-2.0-or-later
// sendmmsg and recvmmsg on AF_UNIX sockets.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct mmsghdr m[8];
static struct iovec iov[8];
static char buf[8][100];

static void fill(int n, int size)
{
    memset(m, 0, sizeof m);
    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){buf[i], size};
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
}

static void say(const char *what, int ret)
{
    printf("%s: %s", what, ret < 0 ? strerror(errno) : "");
    if (ret >= 0)
        printf("%d:", ret);
    for (int i = 0; i < ret; i++)
        printf(" %u/%x", m[i].msg_len, m[i].msg_hdr.msg_flags);
    printf("\n");
}

// The libraries' own functions clear paddings; the calls themselves are wanted.
static int sendm(int fd, unsigned n, int flags) { return syscall(SYS_sendmmsg, fd, m, n, flags); }
static int recvm(int fd, unsigned n, int flags, struct timespec *ts) { return syscall(SYS_recvmmsg, fd, m, n, flags, ts); }

static void handler(int sig) { (void)sig; }

int main(void)
{
    int s[2], p[2];
    struct timespec ts = {0, 0};
    setvbuf(stdout, NULL, _IONBF, 0);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    for (int i = 0; i < 8; i++)
        memset(buf[i], 'a' + i, 100);
    fill(4, 10);
    iov[2].iov_len = 30;
    say("send", sendm(s[0], 4, 0));
    fill(8, 20);
    say("receive what is there", recvm(s[1], 8, MSG_DONTWAIT, NULL));
    printf("%.10s %.20s\n", buf[0], buf[2]);
    say("empty", recvm(s[1], 8, MSG_DONTWAIT, NULL));
    fill(3, 5);
    say("send", sendm(s[0], 3, 0));
    fill(8, 20);
    say("wait for one", recvm(s[1], 8, MSG_WAITFORONE, NULL));
    fill(3, 5);
    sendm(s[0], 3, 0);
    fill(8, 20);
    say("no time", recvm(s[1], 8, 0, &ts));
    printf("left %ld.%ld\n", (long)ts.tv_sec, ts.tv_nsec);
    ts.tv_nsec = 1000000000;
    say("bad time", recvm(s[1], 8, 0, &ts));
    fill(8, 20);
    say("the rest", recvm(s[1], 2, 0, NULL));
    say("none", recvm(s[1], 0, 0, NULL));
    fill(3, 5);
    m[1].msg_hdr.msg_iov = (void *)8;
    say("second is bad", sendm(s[0], 3, 0));
    fill(8, 20);
    say("one came", recvm(s[1], 8, MSG_DONTWAIT, NULL));
    fill(1, 5);
    m[0].msg_hdr.msg_iov = (void *)8;
    say("first is bad", sendm(s[0], 1, 0));
    say("no socket", sendm(0, 1, 0));
    say("closed", recvm(99, 1, 0, NULL));
    pipe(p);
    say("a pipe", sendm(p[0], 1, 0));
    // Interrupted after the first: that one counts.
    struct sigaction sa = {.sa_handler = handler};
    sigaction(SIGUSR1, &sa, NULL);
    fill(1, 5);
    sendm(s[0], 1, 0);
    pid_t pid = fork();
    if (!pid) {
        usleep(20000);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    fill(4, 20);
    say("interrupted", recvm(s[1], 4, 0, NULL));
    waitpid(pid, NULL, 0);
    // Addresses and credentials come with each message.
    int one = 1;
    char control[3][64];
    setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    fill(2, 5);
    sendm(s[0], 2, 0);
    fill(2, 20);
    for (int i = 0; i < 2; i++) {
        m[i].msg_hdr.msg_control = control[i];
        m[i].msg_hdr.msg_controllen = sizeof control[i];
    }
    int n = recvm(s[1], 2, MSG_DONTWAIT, NULL);
    if (n < 0)
        n = recvm(s[1], 2, MSG_DONTWAIT, NULL);
    say("with credentials", n);
    printf("%d %d\n", (int)m[0].msg_hdr.msg_controllen, (int)m[1].msg_hdr.msg_controllen);
    close(s[0]);
    fill(2, 5);
    say("nobody there", sendm(s[1], 2, MSG_NOSIGNAL));
    return 0;
}
