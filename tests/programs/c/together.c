/* Threads and processes that meet: execve and exit of one thread, signals to threads, robust and shared mutexes, timers. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void say(const char *what, long a, long b)
{
	printf("%s %ld %ld\n", what, a, b);
	fflush(stdout);
}

static char *self;

static void *sleeper(void *arg)
{
	for (;;)
		pause();
}

static void *execs(void *arg)
{
	execl(self, self, "again", (char *)0);
	_exit(99);
}

static void *exits_group(void *arg)
{
	exit(33);
}

static void *outlives(void *arg)
{
	usleep(2000);
	write(1, "outlives\n", 9);
	return 0;
}

static void lives(void)
{
	int st;
	pthread_t t;
	pid_t p = fork();
	if (!p) {
		for (int i = 0; i < 3; i++)
			pthread_create(&t, 0, sleeper, 0);
		pthread_create(&t, 0, execs, 0);
		pthread_join(t, 0);
		_exit(98);
	}
	waitpid(p, &st, 0);
	say("execve by a thread", WEXITSTATUS(st), 0);
	p = fork();
	if (!p) {
		pthread_create(&t, 0, sleeper, 0);
		execl(self, self, "again", (char *)0);
	}
	waitpid(p, &st, 0);
	say("execve by the leader", WEXITSTATUS(st), 0);
	p = fork();
	if (!p) {
		pthread_create(&t, 0, sleeper, 0);
		pthread_create(&t, 0, exits_group, 0);
		sleeper(0);
	}
	waitpid(p, &st, 0);
	say("exit by a thread", WEXITSTATUS(st), 0);
#ifdef __GLIBC__
	p = fork();
	if (!p) {
		pthread_create(&t, 0, outlives, 0);
		pthread_exit(0);
	}
	usleep(1000);
	long early = waitpid(p, &st, WNOHANG);
	waitpid(p, &st, 0);
	say("the leader first", early, st);
#endif
	p = fork();
	if (!p) {
		pthread_create(&t, 0, sleeper, 0);
		pthread_create(&t, 0, sleeper, 0);
		usleep(1000);
		raise(SIGSEGV);
	}
	waitpid(p, &st, 0);
	say("killed with all threads", WTERMSIG(st), 0);
	char *argv[] = {"again", "again", 0};
	posix_spawn(&p, self, 0, 0, argv, environ);
	waitpid(p, &st, 0);
	say("posix_spawn", WEXITSTATUS(st), 0);
	say("no such file", posix_spawn(&p, "/nowhere", 0, 0, argv, environ), 0);
	say("system", system("exit 7") >> 8, 0);
	FILE *f = popen("echo from a pipe", "r");
	char line[64] = "";
	fgets(line, sizeof(line), f);
	printf("%s", line);
	say("pclose", pclose(f), 0);
}

static pthread_t main_thread;
static volatile int by_main, by_other, value;

static void handler(int sig, siginfo_t *info, void *ctx)
{
	if (pthread_equal(pthread_self(), main_thread))
		by_main++;
	else
		by_other++;
	value = info->si_value.sival_int;
}

static void *takes(void *arg)
{
	sigset_t set;
	sigfillset(&set);
	sigdelset(&set, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &set, 0);
	*(volatile int *)arg = 1;
	while (by_other < 2)
		sigsuspend(&set);
	return 0;
}

static void signals(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &sa, 0);
	sigaction(SIGUSR2, &sa, 0);
	main_thread = pthread_self();
	sigset_t block, old;
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	volatile int ready = 0;
	pthread_t t;
	pthread_create(&t, 0, takes, (void *)&ready);
	while (!ready)
		sched_yield();
	kill(getpid(), SIGUSR1);
	while (by_other < 1)
		sched_yield();
	pthread_kill(t, SIGUSR1);
	pthread_join(t, 0);
	say("taken by the thread", by_main, by_other);
	pthread_kill(pthread_self(), SIGUSR2);
	say("taken by us", by_main, by_other);
	pthread_kill(pthread_self(), SIGUSR1);
	say("blocked", by_main, by_other);
	pthread_sigmask(SIG_SETMASK, &old, 0);
	say("unblocked", by_main, by_other);
	/* A value from another process. */
	sigset_t rt;
	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN + 1);
	sigprocmask(SIG_BLOCK, &rt, 0);
	pid_t me = getpid();
	if (!fork()) {
		for (int i = 0; i < 3; i++)
			sigqueue(me, SIGRTMIN + 1, (union sigval){.sival_int = 40 + i});
		_exit(0);
	}
	siginfo_t info;
	for (int i = 0; i < 3; i++) {
		sigwaitinfo(&rt, &info);
		say("queued", info.si_value.sival_int, info.si_code == SI_QUEUE);
	}
	wait(0);
	struct timespec soon = {0, 1000000};
	errno = 0;
	long none = sigtimedwait(&rt, &info, &soon);
	say("none", none, errno);
	say("tgkill of another group", syscall(SYS_tgkill, 1, getpid(), 0), errno);
}

struct shared {
	pthread_mutex_t robust, mutex;
	pthread_cond_t cond;
	sem_t sem;
	long counter, turn;
};

static void sharing(void)
{
	struct shared *s = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->mutex, &ma);
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&s->robust, &ma);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&s->cond, &ca);
	sem_init(&s->sem, 1, 0);
	for (int i = 0; i < 4; i++)
		if (!fork()) {
			for (int n = 0; n < 25; n++) {
				pthread_mutex_lock(&s->mutex);
				while (s->turn != i)
					pthread_cond_wait(&s->cond, &s->mutex);
				s->counter = s->counter * 3 + i;
				s->turn = (s->turn + 1) % 4;
				pthread_cond_broadcast(&s->cond);
				pthread_mutex_unlock(&s->mutex);
			}
			sem_post(&s->sem);
			_exit(0);
		}
	for (int i = 0; i < 4; i++)
		sem_wait(&s->sem);
	while (wait(0) > 0)
		;
	say("in turn", s->counter, s->turn);
	if (!fork()) {
		pthread_mutex_lock(&s->robust);
		sem_post(&s->sem);
		usleep(2000);
		_exit(0);
	}
	sem_wait(&s->sem);
	int e = pthread_mutex_lock(&s->robust);
	say("owner died", e == EOWNERDEAD, 0);
	pthread_mutex_consistent(&s->robust);
	say("consistent", pthread_mutex_unlock(&s->robust), pthread_mutex_trylock(&s->robust));
	wait(0);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	alarms++;
}

static void timers(void)
{
	signal(SIGALRM, on_alarm);
	struct itimerval it = {{0, 2000}, {0, 2000}};
	setitimer(ITIMER_REAL, &it, 0);
	while (alarms < 3)
		;
	it.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &it, 0);
	say("spun until the alarm", alarms >= 3, 0);
	timer_t t;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 66};
	timer_create(CLOCK_MONOTONIC, &ev, &t);
	struct itimerspec its = {{0, 0}, {0, 3000000}};
	by_main = 0;
	timer_settime(t, 0, &its, 0);
	while (!by_main)
		pause();
	say("timer", value, by_main);
	timer_gettime(t, &its);
	say("not armed", its.it_value.tv_sec, its.it_value.tv_nsec);
	timer_delete(t);
	errno = 0;
	long gone = timer_gettime(t, &its);
	say("gone", gone, errno);
	/* Two who compute, and only the clock between them. */
	volatile long *flag = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!fork()) {
		while (*flag == 0)
			;
		*flag = 2;
		_exit(0);
	}
	*flag = 1;
	while (*flag == 1)
		;
	say("spun", *flag, wait(0) > 0);
}

static void many(void)
{
	struct rlimit lim = {200, 200};
	int made = 0;
	pid_t boss = fork();
	if (!boss) {
		pid_t first = 0;
		/* A user that nobody else is, as far as can be told. */
		uid_t uid = 100000 + getpid();
		if (setgid(uid) || setuid(uid))
			_exit(1);
		setrlimit(RLIMIT_NPROC, &lim);
		for (;;) {
			pid_t p = fork();
			if (p < 0)
				break;
			if (!p)
				sleeper(0);
			if (!first)
				first = p;
			setpgid(p, first);
			made++;
		}
		say("children", made, errno);
		if (first > 0)
			kill(-first, SIGKILL);
		while (wait(0) > 0)
			;
		_exit(0);
	}
	int st;
	waitpid(boss, &st, 0);
	say("all gone", st, 0);
}

int main(int argc, char **argv)
{
	self = "/proc/self/exe";
	if (argc > 1)
		return 21;
	setvbuf(stdout, 0, _IOLBF, 0);
	char path[4096] = "";
	readlink(self, path, sizeof(path) - 1);
	self = path;
	lives();
	signals();
	sharing();
	timers();
	if (getuid() == 0)
		many();
	return 0;
}
