// SPDX-License-Identifier: GPL-2.0-or-later
// ptrace(2) and threads: clones, group stops, execve by a thread, a dead leader.
#include "tracing.h"

static void barrier(int fd)
{
    char c;
    read(fd, &c, 1);
}

static int gate[2];

static void *waiter(void *arg)
{
    barrier(gate[0]);
    if (arg)
        execl("/bin/true", "true", (char *)0);
    return 0;
}

static void two_threads(void)
{
    pthread_t t;
    pthread_create(&t, 0, waiter, 0);
    pthread_join(t, 0);
    barrier(gate[0]);
    _exit(3);
}

static void execs(void)
{
    pthread_t t;
    pthread_create(&t, 0, waiter, "exec");
    pthread_join(t, 0);
    _exit(3);
}

static void dead_leader(void)
{
    pthread_t t;
    pthread_create(&t, 0, waiter, 0);
    syscall(SYS_exit, 0);
}

static pid_t start(void (*program)(void), long options)
{
    int fds[2];
    pipe(fds);
    pipe(gate);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        barrier(fds[0]);
        program();
    }
    nr(pid);
    PTRACE(SEIZE, pid, 0, options);
    write(fds[1], "x", 1);
    return pid;
}

static pid_t clone_event(pid_t pid)
{
    unsigned long message;
    await(pid);
    PTRACE(GETEVENTMSG, pid, 0, &message);
    await(message);
    siginfo(message);
    PTRACE(CONT, message, 0, 0);
    PTRACE(CONT, pid, 0, 0);
    return message;
}

static void settle(pid_t tgid, pid_t pid, char want)
{
    char path[64], buffer[512];
    sprintf(path, "/proc/%d/task/%d/stat", tgid, pid);
    for (int i = 0; i < 2000; i++) {
        int fd = open(path, O_RDONLY);
        int n = read(fd, buffer, sizeof buffer - 1);
        close(fd);
        buffer[n > 0 ? n : 0] = 0;
        char *p = strrchr(buffer, ')');
        if (p && p[2] == want)
            return;
        usleep(1000);
    }
    printf("  never %c\n", want);
}

static void test_clone(void)
{
    puts("a thread is born, stops, dies");
    pid_t pid = start(two_threads, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT);
    pid_t tid = clone_event(pid);
    settle(pid, tid, 'S');
    settle(pid, pid, 'S');
    syscall(SYS_tgkill, pid, tid, SIGUSR1);
    await(tid);
    siginfo(tid);
    PTRACE(CONT, tid, 0, 0);
    // A group stop stops both; each is reported.
    kill(pid, SIGSTOP);
    int st;
    pid_t got = waitpid(-1, &st, __WALL);
    printf("  one: %s\n", status_text(st));
    PTRACE(CONT, got, 0, SIGSTOP);
    await(pid);
    await(tid);
    siginfo(tid);
    PTRACE(LISTEN, pid, 0, 0);
    PTRACE(LISTEN, tid, 0, 0);
    kill(pid, SIGCONT);
    // Both trap again, one of them takes SIGCONT.
    await(pid);
    await(tid);
    PTRACE(CONT, pid, 0, 0);
    PTRACE(CONT, tid, 0, 0);
    got = waitpid(-1, &st, __WALL);
    printf("  one: %s\n", status_text(st));
    PTRACE(CONT, got, 0, 0);
    write(gate[1], "x", 1);
    await(tid);
    state(tid);
    PTRACE(CONT, tid, 0, 0);
    await(tid);
    write(gate[1], "x", 1);
    await(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
}

static void test_exec(void)
{
    puts("execve by another thread than the leader");
    pid_t pid = start(execs, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC);
    pid_t tid = clone_event(pid);
    settle(pid, pid, 'S');
    write(gate[1], "x", 1);
    await(pid);  // its leader dies
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // and is the one that executes
    unsigned long message = 0;
    PTRACE(GETEVENTMSG, pid, 0, &message);
    printf("  was %d\n", nr(message));
    PTRACE(CONT, tid, 0, 0);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
}

static void test_leader(void)
{
    puts("a dead leader");
    pid_t pid = start(dead_leader, PTRACE_O_TRACECLONE);
    pid_t tid = clone_event(pid);
    settle(pid, pid, 'Z');
    int st;
    printf("  the leader: %d\n", waitpid(pid, &st, WNOHANG | __WALL));
    PTRACE(CONT, pid, 0, 0);
    PTRACE(INTERRUPT, pid, 0, 0);
    PTRACE(INTERRUPT, tid, 0, 0);
    await(tid);
    PTRACE(CONT, tid, 0, 0);
    write(gate[1], "x", 1);
    await(tid);
    await(pid);
    await(pid);
}

// A thread traces what its sibling made.
static pid_t sibling_child;
static void *other_tracer(void *arg)
{
    int st;
    pid_t pid = sibling_child;
    PTRACE(SEIZE, pid, 0, 0);
    PTRACE(INTERRUPT, pid, 0, 0);
    printf("  %d", waitpid(pid, &st, __WALL | __WNOTHREAD) == pid);
    printf(" %s\n", status_text(st));
    write(gate[1], "x", 1);
    barrier(*(int *)arg);
    return 0;
}

static void test_sibling(void)
{
    puts("the tracer is a thread");
    int fds[2], st;
    pthread_t t;
    pipe(fds);
    pipe(gate);
    fflush(stdout);
    sibling_child = fork();
    if (!sibling_child)
        for (;;)
            pause();
    nr(sibling_child);
    settle(sibling_child, sibling_child, 'S');
    pthread_create(&t, 0, other_tracer, &fds[0]);
    barrier(gate[0]);
    // Not ours, but our process's.
    PTRACE(CONT, sibling_child, 0, 0);
    printf("  %d\n", waitpid(sibling_child, &st, WNOHANG | __WALL));
    write(fds[1], "x", 1);
    pthread_join(t, 0);
    // The thread's death has let it go.
    settle(sibling_child, sibling_child, 'S');
    PTRACE(CONT, sibling_child, 0, 0);
    kill(sibling_child, SIGTERM);
    await(sibling_child);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    nr(getpid());
    if (!strcmp(argv[1], "clone"))
        test_clone();
    if (!strcmp(argv[1], "exec"))
        test_exec();
    if (!strcmp(argv[1], "leader"))
        test_leader();
    if (!strcmp(argv[1], "sibling"))
        test_sibling();
    return 0;
}
