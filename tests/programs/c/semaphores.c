// System V semaphores: operations, waiting, undoing, and their errors.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define E(x)                                                                                                                   \
  do {                                                                                                                         \
    errno = 0;                                                                                                                 \
    long r_ = (x);                                                                                                             \
    printf("%s = %ld %d\n", #x, r_, errno);                                                                                    \
  } while (0)

union arg {
  int val;
  struct semid_ds *buf;
  unsigned short *array;
};

static int id, other;

static int op(int num, int by, int flags) {
  struct sembuf s = {num, by, flags};
  return semop(id, &s, 1);
}

static void show(const char *what) {
  unsigned short v[4];
  semctl(id, 0, GETALL, (union arg){.array = v});
  printf("%s: %d %d %d %d, waiting %d %d\n", what, v[0], v[1], v[2], v[3], semctl(id, 0, GETNCNT), semctl(id, 1, GETZCNT));
}

static void handler(int sig) {}

static void *thread(void *arg) {
  op(3, 5, SEM_UNDO);
  return 0;
}

static void until(int num, int cmd, int n) {
  while (semctl(id, num, cmd) != n)
    usleep(1000);
}

int main(void) {
  struct sembuf three[3] = {{0, -1, 0}, {1, 2, 0}, {2, 0, IPC_NOWAIT}};
  struct timespec little = {0, 20000000}, bad = {0, 1000000000};
  struct semid_ds ds;
  unsigned short values[4] = {1, 0, 0, 9}, large[4] = {1, 40000, 0, 0};
  int status;
  setvbuf(stdout, 0, _IONBF, 0);
  id = semget(IPC_PRIVATE, 4, 0600 | IPC_CREAT);
  printf("%d\n", id >= 0);
  E(semget(IPC_PRIVATE, 0, 0600));
  E(semget(IPC_PRIVATE, -1, 0600));
  E(semget(IPC_PRIVATE, 32001, 0600));
  key_t key = 0x6d000000 + getpid();
  E(semget(key, 1, 0600));
  other = semget(key, 2, 0600 | IPC_CREAT);
  E(semget(key, 0, 0) == other);
  E(semget(key, 3, 0600));
  E(semget(key, 2, 0600 | IPC_CREAT | IPC_EXCL));
  E(semctl(other, 0, IPC_RMID));
  E(semctl(other, 0, GETVAL));
  show("new");
  E(semctl(id, 0, SETALL, (union arg){.array = values}));
  E(semctl(id, 0, SETALL, (union arg){.array = large}));
  E(semctl(id, 1, SETVAL, (union arg){.val = 40000}));
  E(semctl(id, 1, SETVAL, (union arg){.val = -1}));
  E(semctl(id, 4, SETVAL, (union arg){.val = 1}));
  E(semctl(id, 4, GETVAL));
  E(semctl(id, 0, 99));
  E(semctl(-1, 0, GETVAL));
  E(semop(id, three, 3));
  show("three at once");
  E(op(0, -1, IPC_NOWAIT));
  E(op(1, 0, IPC_NOWAIT));
  E(op(1, 32766, 0));
  E(op(4, 1, 0));
  E(semop(id, three, 0));
  E(semop(id, three, 501));
  E(semop(id, (void *)1, 1));
  E(semop(-1, three, 1));
  E(semtimedop(id, (struct sembuf[]){{0, -1, 0}}, 1, &little));
  E(semtimedop(id, (struct sembuf[]){{0, -1, 0}}, 1, &bad));
  E(semctl(id, 1, GETPID) == getpid());
  E(semctl(id, 0, IPC_STAT, (union arg){.buf = &ds}));
  printf("%ld %o %d %d\n", (long)ds.sem_nsems, ds.sem_perm.mode, ds.sem_otime > 0, ds.sem_ctime > 0);
  ds.sem_perm.mode = 0640;
  E(semctl(id, 0, IPC_SET, (union arg){.buf = &ds}));
  // Children that wait: for a value, for zero, for both.
  for (int i = 0; i < 3; i++)
    if (!fork()) {
      struct sembuf want[2] = {{i == 1 ? 1 : 0, i == 1 ? 0 : -1, 0}, {2, i == 2 ? -1 : 0, 0}};
      _exit(semop(id, want, i == 2 ? 2 : 1) ? errno : i);
    } else
      until(i == 1 ? 1 : 0, i == 1 ? GETZCNT : GETNCNT, i == 2 ? 2 : 1);
  show("three wait");
  E(op(1, -2, 0));
  wait(&status);
  printf("%x\n", status);
  E(op(0, 1, 0));
  wait(&status);
  printf("%x\n", status);
  show("one waits");
  struct sembuf give[2] = {{0, 1, 0}, {2, 1, 0}};
  E(semop(id, give, 2));
  wait(&status);
  printf("%x\n", status);
  show("none waits");
  // What a child took is given back when it dies; what a thread did, when the process dies.
  E(semctl(id, 3, SETVAL, (union arg){.val = 3}));
  if (!fork()) {
    pthread_t t;
    op(3, -2, SEM_UNDO);
    pthread_create(&t, 0, thread, 0);
    pthread_join(t, 0);
    _exit(semctl(id, 3, GETVAL));
  }
  wait(&status);
  printf("%x\n", status);
  show("undone");
  if (!fork()) {
    op(3, -3, SEM_UNDO);
    semctl(id, 3, SETVAL, (union arg){.val = 4});
    _exit(0);
  }
  wait(&status);
  show("SETVAL forgets");
  E(op(3, 3, SEM_UNDO));
  E(unshare(CLONE_SYSVSEM));
  show("unshared");
  // A signal ends a wait, SA_RESTART or not.
  struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &sa, 0);
  ualarm(20000, 0);
  E(op(0, -1, 0));
  // So does the end of the array.
  if (!fork())
    _exit(op(0, -1, 0) ? errno : 0);
  until(0, GETNCNT, 1);
  E(semctl(id, 0, IPC_RMID));
  wait(&status);
  printf("%x\n", status);
  E(op(0, 1, 0));
}
