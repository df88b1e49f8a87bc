// SPDX-License-Identifier: GPL-2.0-or-later
// FUTEX_LOCK_PI and its relatives; mutexes with priority inheritance, robust ones included.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_LOCK_PI 6
#define FUTEX_UNLOCK_PI 7
#define FUTEX_TRYLOCK_PI 8
#define FUTEX_CLOCK_REALTIME 256
#define FUTEX_WAITERS 0x80000000
#define FUTEX_OWNER_DIED 0x40000000
#define FUTEX_TID_MASK 0x3fffffff

static uint32_t *word;
static pid_t me;

static const char *err(long ret)
{
    static char text[4][60];
    static int n;
    char *t = text[n++ % 4];
    snprintf(t, 60, "%s", ret >= 0 ? "ok" : strerror(errno));
    return t;
}

static long lock(uint32_t *w, struct timespec *ts) { return syscall(SYS_futex, w, FUTEX_LOCK_PI, 0, ts, NULL, 0); }
static long unlock(uint32_t *w) { return syscall(SYS_futex, w, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0); }
static long try(uint32_t *w) { return syscall(SYS_futex, w, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0); }
static void nap(int ms) { usleep(ms * 1000); }

// A flag between processes, and the end of a process's last computation.
static void set(int n) { __atomic_store_n(&word[100 + n], 1, __ATOMIC_SEQ_CST); }
static void await(int n)
{
    while (!__atomic_exchange_n(&word[100 + n], 0, __ATOMIC_SEQ_CST))
        nap(1);
}

static void asleep(pid_t pid)
{
    char name[40], text[300], state = 0;
    sprintf(name, "/proc/%d/stat", pid);
    while (state != 'S') {
        nap(2);
        FILE *f = fopen(name, "r");
        fgets(text, sizeof text, f);
        fclose(f);
        state = strrchr(text, ')')[2];
    }
}

// The word without the numbers.
static const char *show(uint32_t w, pid_t child)
{
    static char text[4][60];
    static int n;
    char *t = text[n++ % 4];
    uint32_t tid = w & FUTEX_TID_MASK;
    sprintf(t, "%s%s%s", tid == 0 ? "0" : tid == me ? "me" : tid == child ? "child" : "?", w & FUTEX_WAITERS ? "+waiters" : "", w & FUTEX_OWNER_DIED ? "+died" : "");
    return t;
}

static void test_word(void)
{
    *word = 0;
    printf("lock %s", err(lock(word, NULL)));
    printf(" %s", show(*word, 0));
    printf(", again %s", err(lock(word, NULL)));
    printf(", try %s", err(try(word)));
    printf(", unlock %s", err(unlock(word)));
    printf(" %s", show(*word, 0));
    printf(", again %s", err(unlock(word)));
    printf(", try %s", err(try(word)));
    printf(" %s", show(*word, 0));
    *word |= FUTEX_WAITERS;
    printf(", unlock %s", err(unlock(word)));
    printf(" %s\n", show(*word, 0));
    *word = 4194303;
    printf("no such owner %s", err(lock(word, NULL)));
    printf(" %x", *word >> 30);
    *word = FUTEX_OWNER_DIED;
    printf(", dead owner %s", err(lock(word, NULL)));
    printf(" %s", show(*word, 0));
    *word = 1 << 20;
    printf(", not mine %s", err(unlock(word)));
    printf(", misaligned %s", err(lock((void *)((char *)word + 1), NULL)));
    printf(", unmapped %s", err(lock((void *)4096, NULL)));
    printf(", realtime flag %s", err(syscall(SYS_futex, word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0)));
    struct timespec bad = {0, 1000000000};
    printf(", bad time %s\n", err(lock(word, &bad)));
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    *word = pid;
    printf("zombie %s", err(lock(word, NULL)));
    printf(" %s\n", show(*word, pid));
    waitpid(pid, NULL, 0);
}

static void test_processes(void)
{
    *word = 0;
    lock(word, NULL);
    pid_t pid = fork();
    if (!pid) {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        ts.tv_nsec += 20000000;
        if (ts.tv_nsec >= 1000000000)
            ts.tv_sec++, ts.tv_nsec -= 1000000000;
        printf("child: try %s", err(try(word)));
        printf(", in time %s", err(lock(word, &ts)));
        set(0);
        printf(", waits %s", err(lock(word, NULL)));
        set(1);
        await(2);
        asleep(me);
        ts.tv_sec = unlock(word);
        await(2);
        printf(", unlocks %s\n", err(ts.tv_sec));
        _exit(0);
    }
    await(0);
    asleep(pid);
    uint32_t before = *word;
    long ret = unlock(word);
    await(1);
    printf(" [parent unlocks %s: %s -> %s]", err(ret), show(before, pid), show(*word, pid));
    set(2);
    ret = lock(word, NULL);
    printf(" [relock %s", err(ret));
    printf(" %s]", show(*word, pid));
    set(2);
    waitpid(pid, NULL, 0);
    pid = fork();
    if (!pid) {
        lock(word, NULL);
        _exit(unlock(word) < 0);
    }
    asleep(pid);
    printf("wake %s", err(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0)));
    // The word is not what the kernel knows.
    uint32_t saved = *word;
    *word = 1 | FUTEX_WAITERS;
    printf(", fiddled lock %s", err(lock(word, NULL)));
    printf(", unlock %s", err(unlock(word)));
    *word = saved;
    printf(", unlock %s\n", err(unlock(word)));
    waitpid(pid, NULL, 0);
    // A plain waiter in the way.
    *word = 0;
    pid = fork();
    if (!pid) {
        struct timespec ts = {0, 300000000};
        syscall(SYS_futex, word, FUTEX_WAIT, 0, &ts, NULL, 0);
        _exit(0);
    }
    asleep(pid);
    printf("plain waiter: lock %s", err(lock(word, NULL)));
    *word = me;
    printf(", unlock %s\n", err(unlock(word)));
    waitpid(pid, NULL, 0);
}

static void test_death(void)
{
    // The owner dies; who waits gets it and is told so.
    *word = 0;
    pid_t pid = fork();
    if (!pid) {
        lock(word, NULL);
        set(0);
        nap(100);
        _exit(0);
    }
    await(0);
    long ret = lock(word, NULL);
    printf("owner died: %s %s", err(ret), show(*word, pid));
    waitpid(pid, NULL, 0);
    printf(", unlock %s", err(unlock(word)));
    printf(" %s\n", show(*word, pid));
}

static void test_deadlock(void)
{
    uint32_t *other = word + 1;
    *word = *other = 0;
    lock(word, NULL);
    pid_t pid = fork();
    if (!pid) {
        lock(other, NULL);
        lock(word, NULL);
        unlock(word);
        unlock(other);
        _exit(0);
    }
    asleep(pid);
    printf("circle: %s", err(lock(other, NULL)));
    printf(" %s", show(*other, pid));
    printf(", unlock %s\n", err(unlock(word)));
    waitpid(pid, NULL, 0);
}

static pthread_mutex_t *mutex;

static void test_mutex(void)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    mutex = (void *)(word + 16);
    int ret = pthread_mutex_init(mutex, &attr);
    printf("mutex %s", strerror(ret));
    printf(", lock %s", strerror(pthread_mutex_lock(mutex)));
    printf(", again %s", strerror(pthread_mutex_lock(mutex)));
    printf(", try %s", strerror(pthread_mutex_trylock(mutex)));
    pid_t pid = fork();
    if (!pid) {
        int tried = pthread_mutex_trylock(mutex), locked = pthread_mutex_lock(mutex);
        await(3);
        printf(" [child: try %s, lock %s, unlock %s]", strerror(tried), strerror(locked), strerror(pthread_mutex_unlock(mutex)));
        _exit(0);
    }
    asleep(pid);
    printf(", unlock %s", strerror(pthread_mutex_unlock(mutex)));
    set(3);
    waitpid(pid, NULL, 0);
    printf(", not held %s\n", strerror(pthread_mutex_unlock(mutex)));
#ifdef __GLIBC__
    // musl has no robust mutexes with priority inheritance.
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attr);
    pid = fork();
    if (!pid) {
        pthread_mutex_lock(mutex);
        set(0);
        nap(100);
        _exit(0);
    }
    await(0);
    printf("robust: waited %s", strerror(pthread_mutex_lock(mutex)));
    printf(", consistent %s", strerror(pthread_mutex_consistent(mutex)));
    printf(", unlock %s", strerror(pthread_mutex_unlock(mutex)));
    waitpid(pid, NULL, 0);
    pid = fork();
    if (!pid) {
        pthread_mutex_lock(mutex);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    printf(", died before %s", strerror(pthread_mutex_lock(mutex)));
    printf(", left so %s", strerror(pthread_mutex_unlock(mutex)));
    printf(", then %s\n", strerror(pthread_mutex_lock(mutex)));
#endif
}

static long counter;

static void *worker(void *arg)
{
    for (int i = 0; i < 300; i++) {
        pthread_mutex_lock(mutex);
        long c = counter;
        if (i % 50 == 0)
            sched_yield();
        counter = c + 1;
        pthread_mutex_unlock(mutex);
    }
    return NULL;
}

static void handler(int sig) { (void)sig; }

static void test_threads(void)
{
    static pthread_mutex_t m;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&m, &attr);
    mutex = &m;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, worker, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("counted %ld\n", counter);
    // A signal does not end the wait.
    struct sigaction sa = {.sa_handler = handler};
    sigaction(SIGUSR1, &sa, NULL);
    *word = 0;
    lock(word, NULL);
    pid_t pid = fork();
    if (!pid) {
        printf("with signals %s\n", err(lock(word, NULL)));
        _exit(0);
    }
    asleep(pid);
    kill(pid, SIGUSR1);
    nap(20);
    unlock(word);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    me = getpid();
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    test_word();
    test_processes();
    test_death();
    test_deadlock();
    test_mutex();
    test_threads();
    return 0;
}
