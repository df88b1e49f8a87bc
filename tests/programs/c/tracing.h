// SPDX-License-Identifier: GPL-2.0-or-later
// What the programs that call ptrace(2) share. What they print is the same on every run: no pids, no addresses.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

// Processes are shown by the order in which they were first shown.
static pid_t seen[64];

static int nr(long pid)
{
    for (int i = 0; i < 64; i++) {
        if (!seen[i])
            seen[i] = pid;
        if (seen[i] == pid)
            return i;
    }
    return -1;
}

static const char *status_text(int st)
{
    static char text[64];
    if (WIFEXITED(st))
        sprintf(text, "exited %d", WEXITSTATUS(st));
    else if (WIFSIGNALED(st))
        sprintf(text, "killed %d", WTERMSIG(st));
    else if (WIFCONTINUED(st))
        sprintf(text, "continued");
    else
        sprintf(text, "stopped %#x event %d", WSTOPSIG(st), st >> 16);
    return text;
}

// wait4 for one, and say what came.
static int await(pid_t pid)
{
    int st = 0;
    pid_t got = waitpid(pid, &st, __WALL);
    if (got < 0)
        printf("  wait: errno %d\n", errno);
    else
        printf("  %d %s\n", nr(got), status_text(st));
    return st;
}

static long request(const char *name, int req, pid_t pid, long addr, long data)
{
    errno = 0;
    long ret = syscall(SYS_ptrace, req, pid, addr, data);
    if (ret < 0)
        printf("  %s: errno %d\n", name, errno);
    return ret;
}
#define PTRACE(req, pid, addr, data) request(#req, PTRACE_##req, pid, (long)(addr), (long)(data))

static void siginfo(pid_t pid)
{
    siginfo_t si;
    memset(&si, 0, sizeof si);
    if (!PTRACE(GETSIGINFO, pid, 0, &si))
        printf("  siginfo %d errno %d code %#x pid %d uid %d\n", si.si_signo, si.si_errno, si.si_code,
               si.si_pid && (si.si_code <= 0 || si.si_code > 0x80) ? nr(si.si_pid) : -1, si.si_uid == getuid());
}

static void state(pid_t pid)
{
    char path[64], line[256];
    sprintf(path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (!strncmp(line, "State:", 6))
            printf("  %s", line);
        if (!strncmp(line, "TracerPid:", 10))
            printf("  tracer %d\n", atoi(line + 10) ? nr(atoi(line + 10)) : -1);
    }
    if (f)
        fclose(f);
}
