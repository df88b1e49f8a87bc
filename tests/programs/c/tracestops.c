// SPDX-License-Identifier: GPL-2.0-or-later
// ptrace(2): stops, signals, events, what wait4 says of them.
#include "tracing.h"

static void handler(int s) { (void)s; }

// A child that is stopped by its own SIGSTOP, traced.
static pid_t stopped_child(void (*program)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0))
            _exit(99);
        raise(SIGSTOP);
        program();
        _exit(7);
    }
    nr(pid);
    await(pid);
    return pid;
}

static void nothing(void) {}
static void exec_true(void) { execl("/bin/true", "true", (char *)0); }
static void some_calls(void)
{
    syscall(SYS_getppid);
    syscall(SYS_close, 77);
    syscall(SYS_getuid);
    _exit(syscall(SYS_getpgid, 0) == 4242 ? 42 : 1);
}

static void test_exec(void)
{
    puts("execve without an option is SIGTRAP");
    pid_t pid = stopped_child(exec_true);
    siginfo(pid);
    state(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    siginfo(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    await(pid);
}

static void info(pid_t pid)
{
    struct { uint8_t op; uint8_t pad[3]; uint32_t arch; uint64_t ip, sp; uint64_t v[8]; } si;
    memset(&si, 0xee, sizeof si);
    long size = syscall(SYS_ptrace, PTRACE_GET_SYSCALL_INFO, pid, sizeof si, &si);
    printf("  info %ld op %d arch %x", size, si.op, si.arch);
    if (si.op == 1)
        printf(" nr %ld arg %ld", (long)si.v[0], si.v[0] == SYS_close || si.v[0] == SYS_exit_group ? (long)si.v[1] : 0);
    if (si.op == 2)
        printf(" %s %d", (char)si.v[1] ? "error" : "value", (char)si.v[1] ? (int)si.v[0] : 0);
    puts("");
}

static void test_syscalls(void)
{
    puts("system calls: seen, changed, skipped");
    pid_t pid = stopped_child(some_calls);
    PTRACE(SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD);
    info(pid);
    struct user_regs_struct regs;
    for (int i = 0;; i++) {
        PTRACE(SYSCALL, pid, 0, 0);
        int st = await(pid);
        if (!WIFSTOPPED(st))
            break;
        PTRACE(GETREGS, pid, 0, &regs);
        info(pid);
        unsigned long message = 99;
        PTRACE(GETEVENTMSG, pid, 0, &message);
        printf("  nr %d ax %d message %lu\n", (int)regs.orig_rax, (int)regs.rax == -ENOSYS || (int)regs.rax < 0 ? (int)regs.rax : 1, message);
        if (i == 0)
            siginfo(pid);
        if (i == 2) {  // close -> getpgid
            regs.orig_rax = SYS_getpgid;
            regs.rdi = 0;
            PTRACE(SETREGS, pid, 0, &regs);
        }
        if (i == 4) {  // getuid: none
            PTRACE(POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1);
            PTRACE(POKEUSER, pid, offsetof(struct user_regs_struct, rax), -77);
        }
        if (i == 7)
            PTRACE(POKEUSER, pid, offsetof(struct user_regs_struct, rax), 4242);
    }
}

static void two_signals(void)
{
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    raise(SIGUSR1);
    raise(SIGUSR2);
    raise(SIGTERM);
    kill(getpid(), SIGWINCH);
    raise(SIGUSR1);
    _exit(5);
}

static void test_signals(void)
{
    puts("signals: taken away, given, changed");
    pid_t pid = stopped_child(two_signals);
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // SIGUSR1
    siginfo(pid);
    PTRACE(CONT, pid, 0, SIGUSR1);
    await(pid);  // SIGUSR2, though ignored
    PTRACE(CONT, pid, 0, SIGUSR2);
    await(pid);  // SIGTERM
    siginfo(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // SIGWINCH
    siginfo(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // SIGUSR1
    siginfo_t si;
    PTRACE(GETSIGINFO, pid, 0, &si);
    si.si_code = -55;
    PTRACE(SETSIGINFO, pid, 0, &si);
    siginfo(pid);
    PTRACE(CONT, pid, 0, 65);
    PTRACE(CONT, pid, 0, SIGKILL);
    await(pid);
    await(pid);
}

static void sleeper(void)
{
    signal(SIGUSR1, handler);
    for (;;)
        pause();
}

static pid_t plain_child(void (*program)(void))
{
    int fds[2];
    char c;
    pipe(fds);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        write(fds[1], "x", 1);
        program();
        _exit(7);
    }
    read(fds[0], &c, 1);
    close(fds[0]);
    close(fds[1]);
    nr(pid);
    return pid;
}

static void settle(pid_t pid, char want)
{
    // Until /proc says so: what happens to a running child takes its time natively.
    char path[64], buffer[512];
    sprintf(path, "/proc/%d/stat", pid);
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
    printf("  never %c: %s\n", want, buffer);
}

static void test_attach(void)
{
    puts("attach, detach");
    pid_t pid = plain_child(sleeper);
    settle(pid, 'S');
    PTRACE(CONT, pid, 0, 0);
    PTRACE(ATTACH, pid, 0, 0);
    await(pid);
    siginfo(pid);
    state(pid);
    PTRACE(ATTACH, pid, 0, 0);
    PTRACE(LISTEN, pid, 0, 0);
    PTRACE(INTERRUPT, pid, 0, 0);
    PTRACE(CONT, pid, 0, SIGSTOP);  // now a group stop
    await(pid);
    siginfo(pid);
    state(pid);
    PTRACE(CONT, pid, 0, 0);  // it runs, though stopped
    settle(pid, 'S');
    PTRACE(PEEKDATA, pid, 0, 0);
    kill(pid, SIGCONT);
    await(pid);
    PTRACE(CONT, pid, 0, 0);
    settle(pid, 'S');
    kill(pid, SIGSTOP);
    await(pid);
    siginfo(pid);
    PTRACE(DETACH, pid, 0, 65);
    PTRACE(DETACH, pid, 0, SIGSTOP);
    settle(pid, 'T');
    state(pid);
    int st;
    printf("  %d", waitpid(pid, &st, WUNTRACED) == pid);
    printf(" %s\n", status_text(st));
    PTRACE(CONT, pid, 0, 0);
    // Attach to what is stopped.
    PTRACE(ATTACH, pid, 0, 0);
    state(pid);
    await(pid);
    siginfo(pid);
    PTRACE(DETACH, pid, 0, 0);
    settle(pid, 'T');
    kill(pid, SIGCONT);
    settle(pid, 'S');
    kill(pid, SIGTERM);
    await(pid);
}

static void test_seize(void)
{
    puts("seize, interrupt, listen");
    pid_t pid = plain_child(sleeper);
    settle(pid, 'S');
    PTRACE(SEIZE, pid, 1, 0);
    PTRACE(SEIZE, pid, 0, 1 << 30);
    PTRACE(SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    settle(pid, 'S');
    PTRACE(CONT, pid, 0, 0);
    PTRACE(INTERRUPT, pid, 0, 0);
    await(pid);
    siginfo(pid);
    state(pid);
    PTRACE(INTERRUPT, pid, 0, 0);
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // the second interrupt
    PTRACE(LISTEN, pid, 0, 0);
    PTRACE(CONT, pid, 0, 0);  // ESRCH: it listens
    PTRACE(INTERRUPT, pid, 0, 0);
    await(pid);
    PTRACE(CONT, pid, 0, 0);
    settle(pid, 'S');
    kill(pid, SIGTSTP);
    await(pid);
    siginfo(pid);
    PTRACE(LISTEN, pid, 0, 0);
    PTRACE(CONT, pid, 0, SIGSTOP);
    await(pid);  // group stop
    siginfo(pid);
    PTRACE(LISTEN, pid, 0, 0);
    int st;
    printf("  nothing new: %d\n", waitpid(pid, &st, WNOHANG | __WALL));
    state(pid);
    kill(pid, SIGCONT);
    await(pid);
    siginfo(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // SIGCONT itself
    PTRACE(CONT, pid, 0, SIGCONT);
    settle(pid, 'S');
    kill(pid, SIGUSR1);
    await(pid);
    PTRACE(SYSCALL, pid, 0, SIGUSR1);
    await(pid);
    PTRACE(SYSCALL, pid, 0, 0);
    await(pid);
    kill(pid, SIGKILL);
    await(pid);
    PTRACE(CONT, pid, 0, 0);
}

static void family(void)
{
    int st;
    pid_t p = fork();
    if (!p)
        _exit(1);
    waitpid(p, &st, 0);
    p = vfork();
    if (!p)
        _exit(2);
    waitpid(p, &st, 0);
    p = syscall(SYS_clone, SIGUSR2, 0, 0, 0, 0);
    if (!p)
        _exit(3);
    waitpid(p, &st, __WCLONE);
    p = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
    if (!p)
        _exit(4);
    waitpid(p, &st, 0);
    execl("/bin/true", "true", (char *)0);
}

static void test_events(int seize)
{
    printf("events%s\n", seize ? ", seized" : "");
    pid_t pid;
    long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT |
                   PTRACE_O_TRACEVFORKDONE;
    if (seize) {
        int fds[2];
        char c;
        pipe(fds);
        fflush(stdout);
        pid = fork();
        if (!pid) {
            read(fds[0], &c, 1);
            signal(SIGUSR2, handler);
            family();
        }
        nr(pid);
        PTRACE(SEIZE, pid, 0, options);
        write(fds[1], "x", 1);
    } else {
        pid = stopped_child(family);
        PTRACE(SETOPTIONS, pid, 0, options);
        PTRACE(CONT, pid, 0, 0);
    }
    int alive = 1;
    // One after another: a child goes on when its parent has told of it.
    while (alive) {
        int st = 0;
        pid_t got = waitpid(pid, &st, __WALL);
        printf("  %d %s\n", nr(got), status_text(st));
        if (!WIFSTOPPED(st))
            break;
        unsigned long message = 0;
        PTRACE(GETEVENTMSG, got, 0, &message);
        int event = st >> 16;
        if (event == PTRACE_EVENT_EXIT)
            printf("  message %s\n", status_text(message));
        else if (event && event != PTRACE_EVENT_STOP)
            printf("  message %d\n", nr(message));
        if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
            pid_t child = message;
            await(child);
            siginfo(child);
            state(child);
            PTRACE(CONT, child, 0, 0);
            int cst = await(child);
            if (WIFSTOPPED(cst)) {  // PTRACE_EVENT_EXIT
                PTRACE(CONT, child, 0, 0);
                if (event != PTRACE_EVENT_VFORK)
                    await(child);
            }
        }
        int sig = WSTOPSIG(st);
        PTRACE(CONT, got, 0, event || sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
        if (event == PTRACE_EVENT_VFORK) {
            pid_t child = message;
            await(pid);  // VFORK_DONE
            await(child);
            PTRACE(CONT, pid, 0, 0);
        }
    }
}

static void test_waitid(void)
{
    puts("waitid and SIGCHLD");
    siginfo_t si;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, 0);
    signal(SIGCHLD, SIG_DFL);
    struct sigaction sa = {.sa_handler = handler};
    sigaction(SIGCHLD, &sa, 0);
    pid_t pid = stopped_child(nothing);
    sigwaitinfo(&set, &si);
    printf("  SIGCHLD code %d status %d who %d\n", si.si_code, si.si_status, nr(si.si_pid));
    PTRACE(SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT);
    PTRACE(CONT, pid, 0, 0);
    for (int i = 0; i < 2; i++) {
        memset(&si, 0, sizeof si);
        int ret = waitid(P_PID, pid, &si, WEXITED | WSTOPPED | (i ? 0 : WNOWAIT) | __WALL);
        printf("  %d code %d status %#x who %d\n", ret, si.si_code, si.si_status, nr(si.si_pid));
    }
    memset(&si, 0, sizeof si);
    printf("  again %d", waitid(P_PID, pid, &si, WEXITED | WSTOPPED | WNOHANG | __WALL));
    printf(" %d\n", si.si_pid);
    sigwaitinfo(&set, &si);
    printf("  SIGCHLD code %d status %d\n", si.si_code, si.si_status);
    PTRACE(CONT, pid, 0, 0);
    memset(&si, 0, sizeof si);
    waitid(P_PID, pid, &si, WEXITED | WNOWAIT);
    printf("  code %d status %#x\n", si.si_code, si.si_status);
    await(pid);
    sigwaitinfo(&set, &si);
    printf("  SIGCHLD code %d status %d\n", si.si_code, si.si_status);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    signal(SIGCHLD, SIG_DFL);
}

// A tracer that is not the parent.
static void test_reparented(void)
{
    puts("another tracer than the parent");
    for (int how = 0; how < 4; how++) {
        pid_t pid = plain_child(sleeper);
        settle(pid, 'S');
        int fds[2], back[2];
        char c;
        pipe(fds);
        pipe(back);
        fflush(stdout);
        pid_t tracer = fork();
        if (!tracer) {
            int st;
            PTRACE(SEIZE, pid, 0, how == 3 ? PTRACE_O_EXITKILL : 0);
            PTRACE(INTERRUPT, pid, 0, 0);
            waitpid(pid, &st, __WALL);
            write(fds[1], "x", 1);
            read(back[0], &c, 1);
            if (how == 0) {  // it dies, we take it
                PTRACE(CONT, pid, 0, 0);
                waitpid(pid, &st, __WALL);
                ptrace(PTRACE_CONT, pid, 0, SIGTERM);
                waitpid(pid, &st, __WALL);
            }
            if (how == 1) {
                PTRACE(CONT, pid, 0, 0);
                waitpid(pid, &st, __WALL);
                PTRACE(DETACH, pid, 0, SIGTERM);
            }
            _exit(how);
        }
        read(fds[0], &c, 1);
        nr(tracer);
        int st;
        state(pid);
        PTRACE(CONT, pid, 0, 0);
        PTRACE(SEIZE, pid, 0, 0);
        printf("  nothing for the parent: %d\n", waitpid(pid, &st, WNOHANG | WUNTRACED));
        if (how <= 1)
            kill(pid, SIGUSR1);
        write(back[1], "x", 1);
        await(tracer);
        if (how == 2) {  // let go by death
            settle(pid, 'S');
            state(pid);
            kill(pid, SIGTERM);
        }
        await(pid);
    }
}

static void test_requests(void)
{
    puts("requests that fail, and small ones");
    pid_t pid = stopped_child(sleeper);
    PTRACE(SETOPTIONS, pid, 0, 0x1000);
    PTRACE(SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXIT);
    request("unknown", 0x4321, pid, 0, 0);
    request("self", PTRACE_ATTACH, getpid(), 0, 0);
    request("nobody", PTRACE_ATTACH, 1 << 22, 0, 0);
    request("nobody", PTRACE_CONT, 1 << 22, 0, 0);
    long word;
    PTRACE(PEEKUSER, pid, 3, &word);
    PTRACE(PEEKUSER, pid, sizeof(struct user), &word);
    PTRACE(PEEKUSER, pid, -8, &word);
    PTRACE(PEEKUSER, pid, offsetof(struct user, u_comm), &word);
    printf("  u_comm %ld\n", word);
    PTRACE(PEEKUSER, pid, offsetof(struct user, u_debugreg[7]), &word);
    printf("  dr7 %#lx\n", word);
    PTRACE(PEEKUSER, pid, offsetof(struct user, regs.cs), &word);
    printf("  cs %#lx\n", word);
    PTRACE(PEEKUSER, pid, 0, 8);
    PTRACE(POKEUSER, pid, offsetof(struct user, regs.cs), 0x10);
    PTRACE(POKEUSER, pid, offsetof(struct user, regs.ss), 0);
    PTRACE(POKEUSER, pid, offsetof(struct user, regs.fs_base), -1);
    PTRACE(POKEUSER, pid, offsetof(struct user, u_comm), 0);
    PTRACE(POKEUSER, pid, offsetof(struct user, u_debugreg[4]), 0);
    PTRACE(POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0);
    PTRACE(POKEUSER, pid, offsetof(struct user, regs.eflags), -1);
    PTRACE(PEEKUSER, pid, offsetof(struct user, regs.eflags), &word);
    printf("  flags %#lx\n", word);
    PTRACE(POKEUSER, pid, offsetof(struct user, regs.eflags), 0x202);
    PTRACE(PEEKDATA, pid, 8, &word);
    PTRACE(POKEDATA, pid, 8, 1);
    PTRACE(PEEKDATA, pid, -1, &word);
    uint64_t mask = 0;
    PTRACE(GETSIGMASK, pid, 4, &mask);
    PTRACE(GETSIGMASK, pid, 8, &mask);
    printf("  mask %#lx\n", mask);
    mask = -1;
    PTRACE(SETSIGMASK, pid, 8, &mask);
    PTRACE(GETSIGMASK, pid, 8, &mask);
    printf("  mask %#lx\n", mask);
    kill(pid, SIGUSR1);
    kill(pid, SIGUSR2);
    syscall(SYS_tgkill, pid, pid, SIGTERM);
    siginfo_t si[4];
    struct __ptrace_peeksiginfo_args args = {0, 0, 4};
    printf("  peeked %ld", PTRACE(PEEKSIGINFO, pid, &args, si));
    printf(" %d %d\n", si[0].si_signo, si[0].si_code);
    args.flags = 1;
    printf("  peeked %ld", PTRACE(PEEKSIGINFO, pid, &args, si));
    printf(" %d %d\n", si[0].si_signo, si[1].si_signo);
    args.off = 1;
    printf("  peeked %ld\n", PTRACE(PEEKSIGINFO, pid, &args, si));
    args.flags = 2;
    PTRACE(PEEKSIGINFO, pid, &args, si);
    args.flags = 0;
    args.nr = -1;
    PTRACE(PEEKSIGINFO, pid, &args, si);
    struct user_regs_struct regs;
    struct iovec iov = {&regs, 4096};
    PTRACE(GETREGSET, pid, NT_PRSTATUS, &iov);
    printf("  regs %zu\n", iov.iov_len);
    iov.iov_len = 20;
    PTRACE(GETREGSET, pid, NT_PRSTATUS, &iov);
    iov.iov_len = 16;
    PTRACE(GETREGSET, pid, NT_PRSTATUS, &iov);
    PTRACE(SETREGSET, pid, NT_PRSTATUS, &iov);
    printf("  some %zu\n", iov.iov_len);
    PTRACE(GETREGSET, pid, 0x7777, &iov);
    PTRACE(GETREGSET, pid, 0x201, &iov);
    PTRACE(SETREGSET, pid, 0x201, &iov);
    struct user_fpregs_struct fp;
    PTRACE(GETFPREGS, pid, 0, &fp);
    printf("  fcw %#x mxcsr %#x\n", fp.cwd, fp.mxcsr);
    fp.xmm_space[0] = 0x1234;
    PTRACE(SETFPREGS, pid, 0, &fp);
    memset(&fp, 0, sizeof fp);
    iov.iov_base = &fp;
    iov.iov_len = sizeof fp;
    PTRACE(GETREGSET, pid, NT_FPREGSET, &iov);
    printf("  xmm0 %#x len %zu\n", fp.xmm_space[0], iov.iov_len);
    unsigned long base = 0;
    request("ARCH_PRCTL", 30, pid, (long)&base, 0x1003);
    PTRACE(PEEKUSER, pid, offsetof(struct user, regs.fs_base), &word);
    printf("  fs %d\n", base == word && base);
    PTRACE(KILL, pid, 0, 0);
    await(pid);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
}

static void emulated(void)
{
    _exit(syscall(SYS_getppid) == 1234 ? 12 : 13);
}

static void test_sysemu(void)
{
    puts("system calls emulated");
    pid_t pid = stopped_child(emulated);
    request("SYSEMU", 31, pid, 0, 0);
    await(pid);
    struct user_regs_struct regs;
    PTRACE(GETREGS, pid, 0, &regs);
    printf("  nr %ld ax %ld\n", (long)regs.orig_rax, (long)regs.rax);
    PTRACE(POKEUSER, pid, offsetof(struct user, regs.rax), 1234);
    request("SYSEMU", 31, pid, 0, 0);
    await(pid);
    PTRACE(GETREGS, pid, 0, &regs);
    printf("  nr %ld %ld\n", (long)regs.orig_rax, (long)regs.rdi);
    PTRACE(CONT, pid, 0, 0);
    await(pid);  // it was not called: libc tries exit
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    const char *which = argv[1];
    nr(getpid());
    if (!strcmp(which, "exec"))
        test_exec();
    if (!strcmp(which, "syscalls"))
        test_syscalls();
    if (!strcmp(which, "signals"))
        test_signals();
    if (!strcmp(which, "attach"))
        test_attach();
    if (!strcmp(which, "seize"))
        test_seize();
    if (!strcmp(which, "events"))
        test_events(0);
    if (!strcmp(which, "seized"))
        test_events(1);
    if (!strcmp(which, "waitid"))
        test_waitid();
    if (!strcmp(which, "reparented"))
        test_reparented();
    if (!strcmp(which, "requests"))
        test_requests();
    if (!strcmp(which, "sysemu"))
        test_sysemu();
    return 0;
}
