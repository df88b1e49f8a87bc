// Handlers, masks, pending signals, nested delivery, SA_RESETHAND, raise and kill to oneself.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static volatile int depth, log_n; static int log_s[32], log_d[32];
static void h(int s) { depth++; log_s[log_n] = s; log_d[log_n++] = depth; if (s == SIGUSR1 && depth == 1) raise(SIGUSR2); depth--; }
static void info(int s, siginfo_t *i, void *u) { (void)u; printf("info %d code %d pid %d\n", s, i->si_code, i->si_pid == getpid()); }
int main(void) {
  struct sigaction sa = {.sa_handler = h}; sigaction(SIGUSR1, &sa, 0); sigaction(SIGUSR2, &sa, 0);
  raise(SIGUSR1);
  sigset_t set, old, pend; sigemptyset(&set); sigaddset(&set, SIGUSR2); sigprocmask(SIG_BLOCK, &set, &old);
  raise(SIGUSR2); raise(SIGUSR2); sigpending(&pend); printf("pending %d\n", sigismember(&pend, SIGUSR2));
  sigprocmask(SIG_SETMASK, &old, 0);
  for (int i = 0; i < log_n; i++) printf("%d depth %d\n", log_s[i], log_d[i]);
  struct sigaction si = {.sa_sigaction = info, .sa_flags = SA_SIGINFO | SA_RESETHAND}; sigaction(SIGINT, &si, 0);
  kill(getpid(), SIGINT); struct sigaction now; sigaction(SIGINT, 0, &now); printf("reset %d\n", now.sa_handler == SIG_DFL);
  double x = 1.5; __asm__ volatile("" : "+x"(x)); raise(SIGUSR1); printf("fpu kept %g\n", x);
  signal(SIGTERM, SIG_IGN); raise(SIGTERM); puts("ignored"); fflush(stdout);
  raise(SIGABRT); return 0;
}
