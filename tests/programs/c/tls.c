// Thread-local storage, and the locks of a program with one thread.
#define _GNU_SOURCE
#include <stdio.h>
#include <pthread.h>
#include <string.h>
#include <stdlib.h>
#include <stdint.h>
#include <semaphore.h>
#include <errno.h>
#include <time.h>
static __thread int a = 7;
static __thread char big[5000];
static __thread struct {
  _Alignas(64) long v[8];
} al = {{1, 2, 3}};
_Thread_local const char *s = "tls";
static pthread_once_t o = PTHREAD_ONCE_INIT;
static void init(void) { puts("once"); }
#define P(x) printf("%d\n", (x))
static void dtor(void *p) { printf("dtor %s\n", (char *)p); }
int main(void) {
  printf("%d %d %s %ld %d\n", a, big[4999], s, al.v[2], (int)((uintptr_t)&al % 64));
  a++;
  big[0] = 3;
  memset(big, 1, sizeof big);
  printf("%d %d\n", a, big[100]);
  pthread_once(&o, init);
  pthread_once(&o, init);
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  P(pthread_mutex_lock(&m));
  P(pthread_mutex_trylock(&m) == EBUSY);
  P(pthread_mutex_unlock(&m));
  P(pthread_mutex_destroy(&m));
  pthread_mutexattr_t at;
  pthread_mutexattr_init(&at);
  pthread_mutexattr_settype(&at, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&m, &at);
  P(pthread_mutex_lock(&m));
  P(pthread_mutex_lock(&m));
  P(pthread_mutex_unlock(&m));
  pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
  P(pthread_rwlock_rdlock(&rw));
  P(pthread_rwlock_trywrlock(&rw) == EBUSY);
  sem_t se;
  sem_init(&se, 0, 2);
  int v;
  sem_wait(&se);
  sem_getvalue(&se, &v);
  P(v);
  P(sem_trywait(&se));
  P(sem_trywait(&se));
  struct timespec t;
  clock_gettime(0, &t);
  t.tv_nsec += 1000000;
  if (t.tv_nsec > 999999999) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  errno = 0;
  P(sem_timedwait(&se, &t));
  P(errno);
  pthread_cond_t c = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t m2 = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&m2);
  P(pthread_cond_timedwait(&c, &m2, &t));
  P(pthread_cond_signal(&c));
  pthread_key_t k;
  pthread_key_create(&k, dtor);
  pthread_setspecific(k, "value");
  printf("%s %d\n", (char *)pthread_getspecific(k), pthread_equal(pthread_self(), pthread_self()) != 0);
  pthread_attr_t pa;
  void *sp;
  size_t ss;
  printf("%d\n", pthread_getattr_np(pthread_self(), &pa));
  pthread_attr_getstack(&pa, &sp, &ss);
  printf("%d\n", (char *)&pa > (char *)sp && (char *)&pa < (char *)sp + ss);
  pthread_exit(0);
}
