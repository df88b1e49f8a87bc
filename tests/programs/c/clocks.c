// All clocks, sleeps, their errors; calendar arithmetic. Prints relations, not times.
#define _GNU_SOURCE
#include <stdio.h>
#include <time.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/resource.h>
#include <unistd.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
static long long ns(clockid_t c) {
  struct timespec t;
  if (clock_gettime(c, &t)) return -errno;
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}
int main(void) {
  int clocks[] = {0, 1, 4, 5, 6, 7, 11}, bad = 0;
  for (int i = 0; i < 7; i++) {
    long long a = ns(clocks[i]), b = ns(clocks[i]);
    struct timespec r;
    clock_getres(clocks[i], &r);
    printf("%d %d %d %ld\n", clocks[i], a > 0, b >= a, r.tv_nsec);
  }
  for (int i = 0; i < 20000; i++) {
    static long long last;
    long long t = ns(CLOCK_MONOTONIC);
    if (t < last) bad++;
    last = t;
  }
  long long a = ns(1);
  struct timespec s = {0, 30000000}, rem;
  int r = nanosleep(&s, &rem);
  long long d = ns(1) - a;
  printf("%d slept %d bad %d\n", r, d >= 30000000 && d < 300000000, bad);
  a = ns(0);
  struct timespec abs = {a / 1000000000, a % 1000000000};
  abs.tv_nsec += 5000000;
  if (abs.tv_nsec >= 1000000000) {
    abs.tv_nsec -= 1000000000;
    abs.tv_sec++;
  }
  printf("%d %d\n", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &abs, 0), ns(0) - a >= 5000000);
  printf("%d %d %d\n", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &s, 0), clock_nanosleep(99, 0, &s, 0),
         clock_nanosleep(1, 0, &(struct timespec){0, 2000000000}, 0));
  struct timespec x;
  r = clock_gettime(77, &x);
  printf("%d %d\n", r, errno);
  struct timeval tv;
  gettimeofday(&tv, 0);
  printf("%d %d\n", labs(tv.tv_sec - time(0)) <= 1, syscall(SYS_time, 0) > 1600000000);
  long long mix = ns(0) - (tv.tv_sec * 1000000000LL + tv.tv_usec * 1000);
  printf("%d\n", mix >= 0 && mix < 1000000000);
  struct timespec v;
  syscall(SYS_clock_gettime, 1, &v);
  long long k = v.tv_sec * 1000000000LL + v.tv_nsec, l = ns(1);
  printf("vdso %d\n", l >= k && l - k < 100000000);
  time_t t = 1700000000;
  struct tm tm;
  gmtime_r(&t, &tm);
  char b[64];
  strftime(b, 64, "%Y-%m-%d %H:%M:%S %a %j %U", &tm);
  puts(b);
  tm.tm_mon += 14;
  printf("%ld %s", (long)timegm(&tm), asctime(&tm));
  struct tm q = {0};
  strptime("2021-02-14 10:11:12", "%Y-%m-%d %H:%M:%S", &q);
  printf("%ld\n", (long)timegm(&q));
  struct tms ts;
  clock_t c = times(&ts);
  printf("%d %d\n", c != -1, ts.tms_cutime == 0);
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  printf("%d %d\n", u.ru_minflt > 0, u.ru_maxrss > 0);
  printf("%d\n", clock() >= 0);
  errno = 0;
  r = clock_settime(CLOCK_MONOTONIC, &s);
  printf("%d %s\n", r, strerror(errno));
  errno = 0;
  r = clock_settime(CLOCK_PROCESS_CPUTIME_ID, &s);
  printf("%d %s\n", r, strerror(errno));
  struct itimerval it;
  getitimer(ITIMER_REAL, &it);
  printf("%ld %ld\n", it.it_value.tv_sec, it.it_value.tv_usec);
  printf("%u\n", alarm(100));
  printf("%u\n", alarm(0));
  return 0;
}
