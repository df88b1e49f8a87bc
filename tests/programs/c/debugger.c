// SPDX-License-Identifier: GPL-2.0-or-later
// A small debugger: breakpoints by int3, single steps, a watch by stepping, a call put into the tracee.
#include "tracing.h"

__attribute__((noinline)) long square(long n)
{
    __asm__ volatile("" : "+r"(n));
    return n * n;
}

static volatile long watched;

// Known instructions: what a step over each of them shows.
extern char steps[], steps_end[], after_call[];
__asm__(".text\n"
        "steps: nop\n"
        "  mov $39, %eax\n"
        "  syscall\n"
        "after_call: pushf\n"
        "  pop %rcx\n"
        "  mov $3, %ecx\n"
        "1: loop 1b\n"
        "  mov $2, %ecx\n"
        "  rep stosb\n"
        "  int3\n"
        "  pushf\n"
        "  orl $0x100, (%rsp)\n"
        "  popf\n"
        "  nop\n"
        "  nop\n"
        "  pushf\n"
        "  andl $~0x100, (%rsp)\n"
        "  popf\n"
        "  nop\n"
        "steps_end: ret\n");

static int handled;
static void handler(int sig, siginfo_t *si, void *context)
{
    ucontext_t *uc = context;
    handled = sig + (uc->uc_mcontext.gregs[REG_EFL] & 0x100);
}

static void debuggee(void)
{
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    long sum = 0;
    for (long i = 1; i <= 4; i++)
        sum += square(i);
    watched = sum;
    printf("  child: sum %ld\n", sum);
    fflush(stdout);
    char buffer[8];
    __asm__ volatile("sub $256, %%rsp\n call steps\n add $256, %%rsp" : : "D"(buffer) : "rax", "rcx", "r11", "rdx", "cc", "memory");
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, 0);
    raise(SIGUSR1);
    printf("  child: handled %d\n", handled);
    fflush(stdout);
    _exit(0);
}

static void plain(void)
{
    long sum = 0;
    for (long i = 1; i <= 4; i++)
        sum += square(i);
    watched = sum;
    watched++;
    printf("sum %ld\n", sum);
    fflush(stdout);
    _exit(3);
}

static struct user_regs_struct get(pid_t pid)
{
    struct user_regs_struct regs;
    memset(&regs, 0, sizeof regs);
    PTRACE(GETREGS, pid, 0, &regs);
    return regs;
}

static long plant(pid_t pid, void *addr)
{
    long word;
    PTRACE(PEEKTEXT, pid, addr, &word);
    PTRACE(POKETEXT, pid, addr, word & ~0xff | 0xcc);
    return word;
}

static void code(pid_t pid)
{
    siginfo_t si;
    memset(&si, 0, sizeof si);
    PTRACE(GETSIGINFO, pid, 0, &si);
    struct user_regs_struct regs = get(pid);
    printf("  SIG %d code %#x addr is ip %d", si.si_signo, si.si_code, si.si_addr == (void *)regs.rip);
}

static int step(pid_t pid)
{
    int st = 0;
    PTRACE(SINGLESTEP, pid, 0, 0);
    waitpid(pid, &st, __WALL);
    return st;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    if (argc > 1)  // what another debugger shall debug
        plain();
    pid_t pid = fork();
    if (!pid)
        debuggee();
    nr(pid);
    await(pid);

    puts("breakpoint");
    fflush(stdout);
    long word = plant(pid, square);
    for (int i = 0; i < 4; i++) {
        int st;
        PTRACE(CONT, pid, 0, 0);
        waitpid(pid, &st, __WALL);
        struct user_regs_struct regs = get(pid);
        code(pid);
        printf(" at %d n %ld\n", (int)(regs.rip - (long)square), (long)regs.rdi);
        if (i == 2)  // another argument
            regs.rdi = 10;
        // Step over it: the code back, one instruction, the breakpoint again.
        regs.rip--;
        PTRACE(SETREGS, pid, 0, &regs);
        PTRACE(POKETEXT, pid, square, word);
        step(pid);
        code(pid);
        puts("");
        if (i < 3)
            plant(pid, square);
    }

    puts("watch");
    long old, now, count = 0;
    PTRACE(PEEKDATA, pid, &watched, &old);
    do {
        int st = step(pid);
        if (!WIFSTOPPED(st) || WSTOPSIG(st) != SIGTRAP) {
            printf("  %s\n", status_text(st));
            break;
        }
        PTRACE(PEEKDATA, pid, &watched, &now);
        count++;
    } while (now == old);
    printf("  watched %ld -> %ld, steps %d\n", old, now, count > 3 && count < 500);

    puts("steps");
    fflush(stdout);
    word = plant(pid, steps);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    PTRACE(POKETEXT, pid, steps, word);
    struct user_regs_struct regs = get(pid);
    regs.rip--;
    PTRACE(SETREGS, pid, 0, &regs);
    for (int i = 0; i < 40; i++) {
        int st = step(pid);
        regs = get(pid);
        code(pid);
        printf(" at %ld flags %#llx rcx %lld %s\n", (long)regs.rip - (long)steps, regs.eflags & 0x100,
               (long)regs.rip - (long)steps == 10 ? regs.rcx & 0x100 : (long)regs.rip - (long)steps > 10 ? regs.rcx : 0, status_text(st));
        if (regs.rip == (long)steps_end)
            break;
    }

    puts("into a handler");
    // One step a time until the signal is there; then step with it.
    for (int i = 0; i < 3000; i++) {
        int st = step(pid);
        if (WSTOPSIG(st) != SIGTRAP) {
            printf("  %s\n", status_text(st));
            break;
        }
    }
    PTRACE(SINGLESTEP, pid, 0, SIGUSR1);
    await(pid);
    regs = get(pid);
    siginfo(pid);
    printf("  at handler %d flags %#llx\n", regs.rip == (long)handler, regs.eflags & 0x100);
    step(pid);
    regs = get(pid);
    printf("  at handler %d\n", regs.rip == (long)handler);
    siginfo(pid);

    puts("a call");
    struct user_regs_struct saved = get(pid);
    regs = saved;
    long back = plant(pid, steps);
    regs.rsp = (regs.rsp - 512 & ~15L) - 8;
    PTRACE(POKEDATA, pid, regs.rsp, steps);
    regs.rip = (long)square;
    regs.rdi = 12;
    PTRACE(SETREGS, pid, 0, &regs);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    regs = get(pid);
    printf("  square(12) = %lld\n", regs.rax);
    PTRACE(POKETEXT, pid, steps, back);
    PTRACE(SETREGS, pid, 0, &saved);
    fflush(stdout);
    PTRACE(CONT, pid, 0, 0);
    await(pid);
    printf("  ours %d\n", *(unsigned char *)square != 0xcc);
    return 0;
}
