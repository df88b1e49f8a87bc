// SPDX-License-Identifier: GPL-2.0-or-later
// Random signals and requests for tracees that sleep: after each step everything settles, then wait4 is asked and /proc is read.
// usage: tracefuzz SEED STEPS
#include "tracing.h"

static unsigned long seed;

static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (seed >> 33) % n;
}

static void handler(int s) { (void)s; }

static void *sleeper(void *arg)
{
    write((int)(long)arg, "x", 1);  // its start is over, in which all signals are blocked
    for (;;)
        pause();
}

static pid_t born(int threads)
{
    int fds[2];
    char c;
    pipe(fds);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        pthread_t t;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGUSR1, handler);
        signal(SIGUSR2, SIG_IGN);
        signal(SIGHUP, handler);
        setpgid(0, 0);  // not orphaned, whatever we are
        if (threads)
            pthread_create(&t, 0, sleeper, (void *)(long)fds[1]);
        sleeper((void *)(long)fds[1]);
    }
    for (int i = 0; i <= threads; i++)
        read(fds[0], &c, 1);
    usleep(10000);
    close(fds[0]);
    close(fds[1]);
    nr(pid);
    nr(pid + 1);  // its thread
    return pid;
}

static void look(pid_t pid)
{
    char path[64], buffer[512];
    for (int i = 0; i < 2; i++) {
        sprintf(path, "/proc/%d/task/%d/stat", pid, pid + i);
        int fd = open(path, O_RDONLY);
        if (fd < 0)
            continue;
        int n = read(fd, buffer, sizeof buffer - 1);
        close(fd);
        buffer[n > 0 ? n : 0] = 0;
        char *p = strrchr(buffer, ')');
        printf(" %c", p ? p[2] : '?');
    }
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGSTOP, SIGTSTP, SIGCONT, SIGCHLD, SIGWINCH, SIGTERM, SIGKILL};
    static const int given[] = {0, 0, 0, SIGUSR1, SIGSTOP, SIGCONT, SIGUSR2, SIGTTIN, SIGTERM};
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    seed = strtoul(argv[1], 0, 0);
    int threads = pick(2);
    pid_t pid = born(threads);
    for (int i = 0, end = atoi(argv[2]); i < end; i++) {
        pid_t who = pid + (threads ? pick(2) : 0);
        int sig = signals[pick(pick(8) ? 8 : 10)];
        long ret = 0;
        unsigned long message = 0;
        errno = 0;
        unsigned op = pick(12);
        switch (op) {
        case 0:
        case 1:
            ret = kill(pid, sig);
            printf("kill %d", sig);
            break;
        case 2:
            ret = syscall(SYS_tgkill, pid, who, sig);
            printf("tgkill %d %d", nr(who), sig);
            break;
        case 3:
            ret = syscall(SYS_ptrace, PTRACE_ATTACH, who, 0, 0);
            printf("attach %d", nr(who));
            break;
        case 4:
            ret = syscall(SYS_ptrace, PTRACE_SEIZE, who, 0, PTRACE_O_TRACEEXIT * pick(2));
            printf("seize %d", nr(who));
            break;
        case 5:
            ret = syscall(SYS_ptrace, PTRACE_INTERRUPT, who, 0, 0);
            printf("interrupt %d", nr(who));
            break;
        case 6:
            ret = syscall(SYS_ptrace, PTRACE_LISTEN, who, 0, 0);
            printf("listen %d", nr(who));
            break;
        case 7:
            sig = given[pick(9)];
            ret = syscall(SYS_ptrace, PTRACE_DETACH, who, 0, sig);
            printf("detach %d %d", nr(who), sig);
            break;
        case 8:
            sig = given[pick(9)];
            ret = syscall(SYS_ptrace, PTRACE_SYSCALL, who, 0, sig);
            printf("syscall %d %d", nr(who), sig);
            break;
        default:
            sig = given[pick(9)];
            ret = syscall(SYS_ptrace, PTRACE_CONT, who, 0, sig);
            printf("cont %d %d", nr(who), sig);
        }
        printf(" = %ld", ret < 0 ? -errno : ret);
        usleep(20000);
        look(pid);
        int st, left = pick(4) != 0;  // sometimes the news wait
        while (left) {
            siginfo_t si;
            memset(&si, 0, sizeof si);
            pid_t got = waitpid(-1, &st, WNOHANG | __WALL | WUNTRACED | (pick(2) ? WCONTINUED : 0));
            if (got <= 0) {
                if (got < 0)
                    printf(" | %d", -errno);
                break;
            }
            printf(" | %d %s", nr(got), status_text(st));
            if (WIFSTOPPED(st) && !syscall(SYS_ptrace, PTRACE_GETSIGINFO, got, 0, &si))
                printf(" (%d %#x)", si.si_signo, si.si_code);
            else if (WIFSTOPPED(st))
                printf(" (%d)", errno);
            if (WIFSTOPPED(st) && st >> 16 && !syscall(SYS_ptrace, PTRACE_GETEVENTMSG, got, 0, &message))
                printf(" %lx", message);
            if (!WIFSTOPPED(st) && !WIFCONTINUED(st) && got == pid)
                pid = 0;
        }
        puts("");
        if (!pid) {
            for (int j = 0; j < 64; j++)
                seen[j] = 0;
            threads = pick(2);
            pid = born(threads);
        }
    }
    kill(pid, SIGKILL);
    return 0;
}
