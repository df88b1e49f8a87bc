/* Processes: fork, vfork, wait in all its forms, orphans, groups, sessions, signals between processes, job control. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long a, long b)
{
	printf("%s %ld %ld\n", what, a, b);
	fflush(stdout);
}

/* One after the other: the order of a call's arguments is not defined. */
#define line(what, first, second) do { long a_ = (first); long b_ = (second); say(what, a_, b_); } while (0)
#define failing(what, call) do { errno = 0; line(what, call, errno); } while (0)

static volatile sig_atomic_t chld, usr, cont;
static int last_code, last_status;

static void on_chld(int sig, siginfo_t *info, void *ctx)
{
	chld++;
	last_code = info->si_code;
	last_status = info->si_status;
}

static void on_usr(int sig)
{
	usr++;
}

static void wait_for(int want)
{
	while (chld < want)
		usleep(1000);
}

static void exits(void)
{
	int st;
	pid_t p = fork();
	if (!p)
		_exit(300);
	line("exit 300", waitpid(p, &st, 0) == p, st);
	p = fork();
	if (!p)
		abort();
	waitpid(p, &st, 0);
	line("abort", WIFSIGNALED(st), WTERMSIG(st));
	p = fork();
	if (!p)
		for (;;)
			pause();
	line("wnohang", waitpid(p, &st, WNOHANG), 0);
	kill(p, SIGTERM);
	line("term", waitpid(-1, &st, 0) == p, st);
	failing("no child", wait(&st));
	failing("bad options", waitpid(-1, &st, 0x4000));
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	p = fork();
	if (!p)
		_exit(9);
	line("waitid nowait", waitid(P_PID, p, &info, WEXITED | WNOWAIT), info.si_status);
	line("waitid", waitid(P_ALL, 0, &info, WEXITED), info.si_code == CLD_EXITED && info.si_pid == p);
	failing("waitid again", waitid(P_PID, p, &info, WEXITED));
	failing("waitid pgid", waitid(P_PGID, getpgrp(), &info, WEXITED));
	failing("waitid nothing", waitid(P_ALL, 0, &info, WNOHANG));
	p = vfork();
	if (!p)
		_exit(5);
	line("vfork", waitpid(p, &st, 0) == p, st);
	p = vfork();
	if (!p) {
		execl("/bin/false", "false", (char *)0);
		_exit(99);
	}
	line("vfork exec", waitpid(p, &st, 0) == p, st);
}

static void stops(void)
{
	int st;
	struct sigaction sa = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGCHLD, &sa, 0);
	chld = 0;
	pid_t p = fork();
	if (!p)
		for (;;)
			pause();
	kill(p, SIGSTOP);
	line("stopped", waitpid(p, &st, WUNTRACED) == p, st);
	wait_for(1);
	line("code stopped", last_code == CLD_STOPPED, last_status);
	line("once", waitpid(p, &st, WUNTRACED | WNOHANG), 0);
	kill(p, SIGCONT);
	line("continued", waitpid(p, &st, WCONTINUED) == p, WIFCONTINUED(st));
	wait_for(2);
	line("code continued", last_code == CLD_CONTINUED, last_status);
	kill(p, SIGKILL);
	line("killed", waitpid(p, &st, 0) == p, st);
	wait_for(3);
	line("code killed", last_code == CLD_KILLED, last_status);
	signal(SIGCHLD, SIG_IGN);
	p = fork();
	if (!p)
		_exit(1);
	failing("ignored", wait(&st));
	signal(SIGCHLD, SIG_DFL);
}

static void families(void)
{
	int st, fd[2];
	char buf[64];
	pipe(fd);
	pid_t p = fork();
	if (!p) {
		line("group", setpgid(0, 0), getpgrp() == getpid());
		failing("session", setsid());
		pid_t q = fork();
		if (!q) {
			line("own session", setsid() == getpid(), getsid(0) == getpid());
			failing("group again", setpgid(0, 0));
			_exit(0);
		}
		waitpid(q, &st, 0);
		_exit(3);
	}
	waitpid(p, &st, 0);
	failing("setpgid of a dead one", setpgid(p, p));
	/* An orphan: its parent is not us any more. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	p = fork();
	if (!p) {
		pid_t me = getpid();
		if (!fork()) {
			while (getppid() == me)
				usleep(100);
			write(fd[1], "orphan", 6);
			_exit(44);
		}
		_exit(0);
	}
	waitpid(p, &st, 0);
	line("orphan", read(fd[0], buf, sizeof(buf)), 0);
	line("adopted", wait(&st) > 0, st);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	/* A whole group by one signal. */
	pid_t leader = fork();
	if (!leader) {
		setpgid(0, 0);
		for (;;)
			pause();
	}
	setpgid(leader, leader);
	pid_t other = fork();
	if (!other) {
		setpgid(0, leader);
		for (;;)
			pause();
	}
	setpgid(other, leader);
	kill(-leader, SIGHUP);
	line("leader", waitpid(-leader, &st, 0) > 0, st);
	line("member", waitpid(-leader, &st, 0) > 0, st);
	failing("group gone", kill(-leader, 0));
	failing("nobody", kill(0x7ffffff, 0));
	/* The parent's death. */
	p = fork();
	if (!p) {
		pid_t me = getpid();
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGUSR1);
			signal(SIGUSR1, on_usr);
			write(fd[1], "r", 1);
			while (!usr)
				pause();
			write(fd[1], "death", 5);
			_exit(me == getppid());
		}
		read(fd[0], buf, 1);
		_exit(0);
	}
	waitpid(p, &st, 0);
	line("pdeath", read(fd[0], buf, sizeof(buf)), 0);
	close(fd[0]);
	close(fd[1]);
}

static int shared_fd;

static int clone_body(void *arg)
{
	close(shared_fd);
	chdir("/");
	umask(*(int *)arg);
	*(int *)arg = 77;
	return 12;
}

static void clones(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	int st, value = 7;
	pid_t tid = 0;
	shared_fd = dup(1);
	pid_t p = clone(clone_body, stack + sizeof(stack), CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, &value);
	line("clone vm", waitpid(p, &st, 0) == p, st);
	line("shared", value, fcntl(shared_fd, F_GETFD));
	line("umask", umask(022), getcwd((char[8]){0}, 8) != 0);
	value = 8;
	signal(SIGUSR2, SIG_IGN);
	p = clone(clone_body, stack + sizeof(stack), SIGUSR2, &value);
	failing("not by wait", waitpid(p, &st, 0));
	line("by wclone", waitpid(p, &st, __WCLONE) == p, st);
	line("private", value, 0);
	p = syscall(SYS_clone, SIGCHLD | CLONE_PARENT_SETTID, 0, &tid, 0, 0);
	if (!p)
		_exit(0);
	line("parent settid", tid == p, waitpid(p, &st, 0) == p);
	failing("thread without sighand", syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	failing("sighand without vm", syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
	failing("fs and newns", syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0));
	unsigned long args[11] = {0};
	failing("clone3 small", syscall(SYS_clone3, args, 32));
	args[4] = SIGCHLD;
	p = syscall(SYS_clone3, args, 64);
	if (!p)
		_exit(21);
	line("clone3", waitpid(p, &st, 0) == p, st);
	args[0] = CLONE_THREAD;
	failing("clone3 thread signal", syscall(SYS_clone3, args, 64));
	args[0] = 0;
	args[5] = 4096;
	failing("clone3 stack", syscall(SYS_clone3, args, 64));
}

static void usage(void)
{
	struct rusage before, after;
	int st;
	getrusage(RUSAGE_CHILDREN, &before);
	pid_t p = fork();
	if (!p) {
		char *m = mmap(0, 64 << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 64; i++)
			m[i << 12] = 1;
		_exit(0);
	}
	struct rusage child;
	wait4(p, &st, 0, &child);
	getrusage(RUSAGE_CHILDREN, &after);
	line("faults", child.ru_minflt >= 64, after.ru_minflt - before.ru_minflt == child.ru_minflt);
	struct rlimit one = {1, 1};
	if (!(p = fork())) {
		setgid(54321);
		setuid(54321);
		setrlimit(RLIMIT_NPROC, &one);
		failing("nproc", fork());
		_exit(0);
	}
	waitpid(p, &st, 0);
	line("alarm in a child", 0, 0);
	alarm(100);
	if (!(p = fork()))
		_exit(alarm(0));
	waitpid(p, &st, 0);
	line("not inherited", st, alarm(0) > 0);
}

int main(void)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	exits();
	stops();
	families();
	clones();
	usage();
	return 0;
}
