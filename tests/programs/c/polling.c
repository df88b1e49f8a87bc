// poll, select, ppoll and read on stdin: ready, not ready, ended by a timeout or a signal.
#define _GNU_SOURCE
#include <stdio.h>
#include <poll.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
static void h(int s) {}
int main(void) {
  setvbuf(stdout, 0, _IONBF, 0);
  struct pollfd p[4] = {{0, POLLIN | POLLOUT}, {open("/etc/passwd", 0), POLLIN | POLLOUT}, {99, POLLIN}, {-1, POLLIN}};
  int r = poll(p, 4, 0);
  printf("%d %x %x %x %x\n", r, p[0].revents & ~POLLOUT, p[1].revents, p[2].revents, p[3].revents);
  fd_set s, w;
  FD_ZERO(&s);
  FD_SET(0, &s);
  FD_ZERO(&w);
  FD_SET(1, &w);
  struct timeval t = {0, 0};
  r = select(2, &s, &w, 0, &t);
  printf("%d %d %d\n", r, FD_ISSET(0, &s), FD_ISSET(1, &w));
  FD_ZERO(&s);
  FD_SET(50, &s);
  errno = 0;
  r = select(51, &s, 0, 0, &t);
  printf("%d %d\n", r, errno == EBADF);
  errno = 0;
  r = select(-1, 0, 0, 0, &t);
  printf("%d %d\n", r, errno);
  p[0].events = POLLIN;
  p[0].fd = 0;
  r = poll(p, 1, 50);
  printf("poll %d %x\n", r, p[0].revents);
  struct sigaction a = {.sa_handler = h};
  sigaction(SIGALRM, &a, 0);
  struct itimerval it = {{0, 0}, {0, 30000}};
  setitimer(0, &it, 0);
  errno = 0;
  r = poll(p, 1, 2000);
  printf("poll %d %d\n", r, errno);
  setitimer(0, &it, 0);
  char b[20];
  errno = 0;
  r = read(0, b, 5);
  printf("read %d %d\n", r, errno);
  FD_ZERO(&s);
  FD_SET(0, &s);
  t.tv_usec = 20000;
  r = select(1, &s, 0, 0, &t);
  printf("select %d %d\n", r, FD_ISSET(0, &s));
  sigset_t m, e;
  sigemptyset(&m);
  sigemptyset(&e);
  sigaddset(&m, SIGALRM);
  sigprocmask(SIG_BLOCK, &m, 0);
  setitimer(0, &it, 0);
  struct timespec ts = {1, 0};
  errno = 0;
  r = ppoll(p, 1, &ts, &e);
  printf("ppoll %d %d\n", r, errno);
  a.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &a, 0);
  printf("%d\n", fcntl(0, F_GETFL) & O_NONBLOCK);
  r = poll(0, 0, 5);
  printf("%d\n", r);
  errno = 0;
  r = poll((void *)1, 1, 0);
  printf("%d %d\n", r, errno);
  return 0;
}
