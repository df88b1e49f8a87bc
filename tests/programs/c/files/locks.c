// record locks, OFD locks, flock: conflicts, waiting, deadlock, what closing and forking do.
#include "files.h"
#include <sys/file.h>
static int up[2], dn[2];
static void tell(int fd) { write(fd, "x", 1); }
static void hear(int fd) {
  char c;
  read(fd, &c, 1);
}
static struct flock L(int t, int w, long s, long l) {
  struct flock f;
  memset(&f, 0, sizeof f);
  f.l_type = t;
  f.l_whence = w;
  f.l_start = s;
  f.l_len = l;
  return f;
} static int set(int fd, int cmd, int t, long s, long l) {
  struct flock f = L(t, 0, s, l);
  return fcntl(fd, cmd, &f);
}
static pid_t me, kid;
static void get(const char *n, int fd, int cmd, int t, long s, long l) {
  struct flock f = L(t, 0, s, l);
  errno = 0;
  int r = fcntl(fd, cmd, &f);
  if (r)
    say("%s %s\n", n, strerrorname_np(errno));
  else
    say("%s type %d whence %d start %ld len %ld pid %s\n", n, f.l_type, f.l_whence, (long)f.l_start, (long)f.l_len,
        f.l_pid == 0    ? "0"
        : f.l_pid == -1 ? "-1"
        : f.l_pid == me ? "me"
                        : "other");
}
static int got;
static void h(int s) { got++; }
static void childdo(void (*f)(void)) {
  fflush(stdout);
  if ((kid = fork()) == 0) {
    f();
    _exit(0);
  }
  int st;
  waitpid(kid, &st, 0);
  if (st) say("status %x\n", st);
}
static int fd, fd2;
static void t1(void) {
  get("child sees", fd, F_GETLK, F_WRLCK, 0, 0);
  S(set(fd, F_SETLK, F_RDLCK, 0, 10));
  S(set(fd, F_SETLK, F_WRLCK, 5, 1));
  S(set(fd, F_SETLK, F_WRLCK, 10, 5));
  S(set(fd, F_SETLK, F_WRLCK, 100, 0));
  get("rd", fd, F_GETLK, F_RDLCK, 0, 0);
}
static void t2(void) {
  for (long s = 0; s < 100; s += 10) get("at", fd, F_GETLK, F_WRLCK, s, 1);
  get("whole", fd, F_GETLK, F_WRLCK, 0, 0);
  get("whole rd", fd, F_GETLK, F_RDLCK, 0, 0);
}
static void t3(void) { S(set(fd, F_SETLK, F_WRLCK, 0, 0)); }
int main(int c, char **v) {
  if (!start(c, v, "locks")) return 1;
  me = getpid();
  signal(SIGALRM, h);
  fd = mk("f", 100);
  fd2 = open("f", O_RDWR);
  S(set(fd, F_SETLK, F_WRLCK, 0, 10));
  S(set(fd2, F_SETLK, F_WRLCK, 0, 10));
  get("own", fd, F_GETLK, F_WRLCK, 0, 0);
  childdo(t1);
  S(set(fd, F_SETLK, F_RDLCK, 20, 30));
  S(set(fd, F_SETLK, F_WRLCK, 30, 10));
  S(set(fd, F_SETLK, F_RDLCK, 60, 10));
  S(set(fd, F_SETLK, F_RDLCK, 70, 10));
  childdo(t2);
  S(set(fd, F_SETLK, F_UNLCK, 25, 40));
  childdo(t2);
  S(set(fd, F_SETLK, F_RDLCK, 0, 0));
  childdo(t2);
  S(close(dup(fd)));
  childdo(t2);
  S(set(fd, F_SETLK, F_WRLCK, 0, 0));
  close(fd2);
  childdo(t3);
  fd2 = open("f", O_RDWR);
  // whence, negative
  lseek(fd, 50, 0);
  struct flock f = L(F_WRLCK, SEEK_CUR, -10, 5);
  S(fcntl(fd, F_SETLK, &f));
  f = L(F_WRLCK, SEEK_END, 0, -20);
  S(fcntl(fd, F_SETLK, &f));
  f = L(F_WRLCK, 0, 5, -6);
  S(fcntl(fd, F_SETLK, &f));
  f = L(F_WRLCK, 0, LONG_MAX, 2);
  S(fcntl(fd, F_SETLK, &f));
  f = L(F_WRLCK, 0, LONG_MAX, 1);
  S(fcntl(fd, F_SETLK, &f));
  childdo(t2);
  f = L(F_WRLCK, 7, 0, 0);
  S(fcntl(fd, F_SETLK, &f));
  f = L(F_UNLCK, 0, 0, 0);
  S(fcntl(fd, F_GETLK, &f));
  S(fcntl(fd, F_SETLK, &f));
  S(fcntl(fd, F_SETLK, 8));
  int ro = open("f", O_RDONLY), wo = open("f", O_WRONLY);
  S(set(ro, F_SETLK, F_WRLCK, 0, 0));
  S(set(ro, F_SETLK, F_RDLCK, 0, 0));
  S(set(wo, F_SETLK, F_RDLCK, 0, 0));
  S(set(wo, F_SETLK, F_WRLCK, 0, 0));
  close(ro);
  childdo(t3);
  // blocking
  pipe(up);
  pipe(dn);
  S(set(fd, F_SETLK, F_WRLCK, 0, 10));
  fflush(stdout);
  if ((kid = fork()) == 0) {
    tell(up[1]);
    int r = set(fd, F_SETLKW, F_WRLCK, 5, 1);
    tell(up[1]);
    hear(dn[0]);
    _exit(r);
  }
  hear(up[0]);
  usleep(20000);
  say("parent unlocks\n");
  S(set(fd, F_SETLK, F_UNLCK, 0, 10));
  hear(up[0]);
  S(set(fd, F_SETLK, F_WRLCK, 0, 10));
  get("parent sees", fd, F_GETLK, F_WRLCK, 0, 0);
  tell(dn[1]);
  int st;
  wait(&st);
  say("child %x\n", st);
  S(set(fd, F_SETLK, F_WRLCK, 0, 10));
  // exit releases, signal interrupts
  S(set(fd, F_SETLK, F_UNLCK, 0, 0));
  fflush(stdout);
  if ((kid = fork()) == 0) {
    S(set(fd, F_SETLK, F_WRLCK, 0, 0));
    tell(up[1]);
    hear(dn[0]);
    _exit(0);
  }
  hear(up[0]);
  struct sigaction sa = {.sa_handler = h};
  sigaction(SIGALRM, &sa, 0);
  struct itimerval it = {{0, 0}, {0, 30000}};
  setitimer(ITIMER_REAL, &it, 0);
  S(set(fd, F_SETLKW, F_WRLCK, 0, 0));
  say("%d\n", got);
  tell(dn[1]);
  S(set(fd, F_SETLKW, F_WRLCK, 0, 0));
  wait(0);
  // deadlock
  S(set(fd, F_SETLK, F_UNLCK, 0, 0));
  S(set(fd, F_SETLK, F_WRLCK, 0, 1));
  fflush(stdout);
  if ((kid = fork()) == 0) {
    S(set(fd, F_SETLK, F_WRLCK, 1, 1));
    tell(up[1]);
    _exit(set(fd, F_SETLKW, F_WRLCK, 0, 1));
  }
  hear(up[0]);
  usleep(30000);
  S(set(fd, F_SETLKW, F_WRLCK, 1, 1));
  S(set(fd, F_SETLK, F_UNLCK, 0, 0));
  wait(&st);
  say("child %x\n", st);
  // OFD
  int o1 = open("f", O_RDWR), o2 = open("f", O_RDWR);
  S(set(o1, F_OFD_SETLK, F_WRLCK, 0, 10));
  S(set(o2, F_OFD_SETLK, F_WRLCK, 5, 1));
  S(set(o2, F_OFD_SETLK, F_WRLCK, 10, 1));
  S(set(fd, F_SETLK, F_WRLCK, 0, 1));
  get("posix sees", fd, F_GETLK, F_WRLCK, 0, 0);
  get("ofd sees", o2, F_OFD_GETLK, F_WRLCK, 0, 0);
  f = L(F_WRLCK, 0, 0, 0);
  f.l_pid = 5;
  S(fcntl(o1, F_OFD_SETLK, &f));
  S(fcntl(o1, F_OFD_GETLK, &f));
  if (fork() == 0) {
    S(set(o1, F_OFD_SETLK, F_WRLCK, 20, 10));
    _exit(0);
  }
  wait(0);
  S(set(o2, F_OFD_SETLK, F_WRLCK, 20, 1));
  int o3 = dup(o1);
  close(o1);
  S(set(o2, F_OFD_SETLK, F_WRLCK, 0, 1));
  close(o3);
  S(set(o2, F_OFD_SETLK, F_WRLCK, 0, 1));
  close(open("f", O_RDWR));
  S(set(fd, F_SETLK, F_WRLCK, 0, 1));
  close(o2);
  S(set(fd, F_SETLK, F_WRLCK, 0, 1));
  // flock
  int a = open("g", O_RDWR | O_CREAT, 0600), b = open("g", O_RDONLY);
  S(flock(a, LOCK_EX));
  S(flock(b, LOCK_SH | LOCK_NB));
  S(flock(a, LOCK_SH));
  S(flock(b, LOCK_SH | LOCK_NB));
  S(flock(a, LOCK_EX | LOCK_NB));
  S(flock(b, LOCK_EX | LOCK_NB));
  S(flock(b, LOCK_UN));
  S(flock(b, LOCK_EX | LOCK_NB));
  S(flock(a, LOCK_SH | LOCK_NB));
  int d = dup(b);
  S(flock(d, LOCK_SH));
  S(flock(a, LOCK_SH | LOCK_NB));
  S(flock(a, LOCK_UN));
  close(b);
  S(flock(a, LOCK_EX | LOCK_NB));
  close(d);
  S(flock(a, LOCK_EX | LOCK_NB));
  fflush(stdout);
  if (fork() == 0) {
    S(flock(a, LOCK_EX | LOCK_NB));
    int e = open("g", O_RDWR);
    S(flock(e, LOCK_EX | LOCK_NB));
    S(flock(a, LOCK_UN));
    S(flock(e, LOCK_EX | LOCK_NB));
    _exit(0);
  }
  wait(0);
  int e = open("g", O_RDWR);
  S(flock(e, LOCK_EX | LOCK_NB));
  S(flock(e, 3));
  S(flock(e, 0));
  S(flock(e, LOCK_NB));
  S(flock(99, LOCK_EX));
  S(flock(open("g", O_PATH), LOCK_SH));
  S(flock(open("g", 3), LOCK_SH));
  S(set(a, F_SETLK, F_WRLCK, 0, 0));
  fflush(stdout);
  if (fork() == 0) {
    tell(up[1]);
    int x = open("g", O_RDWR);
    _exit(flock(x, LOCK_SH));
  }
  hear(up[0]);
  usleep(20000);
  say("parent lets go\n");
  S(flock(e, LOCK_UN));
  wait(&st);
  say("child %x\n", st);
  int pf = open(".", O_RDONLY);
  S(flock(pf, LOCK_EX));
  int pp[2];
  pipe(pp);
  S(flock(pp[0], LOCK_EX));
  S(set(pp[1], F_SETLK, F_WRLCK, 0, 0));
  S(lockf(fd, F_TLOCK, 10));
  S(lockf(fd, F_TEST, 10));
  S(lockf(fd, F_ULOCK, 0));
  mlockall(0);
  // threads share, fork does not
  S(set(fd, F_SETLK, F_WRLCK, 0, 0));
  if (fork() == 0) {
    get("forked", fd, F_GETLK, F_WRLCK, 0, 0);
    close(fd);
    _exit(0);
  }
  wait(0);
  childdo(t3);
  unlink("f");
  childdo(t3);
  dup2(e, fd);
  fd = fd2;
  childdo(t3);
  return 0;
}
