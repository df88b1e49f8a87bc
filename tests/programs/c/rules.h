// SPDX-License-Identifier: GPL-2.0-or-later
/* What the rules_*.c have in common: they print each call with its result, and run natively and on the model as the same release. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <sched.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <stdint.h>
#include <limits.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <sys/select.h>
#include <sys/ioctl.h>
#include <ucontext.h>
#include <setjmp.h>
#define P(...) do{char b_[512];int n_=snprintf(b_,512,__VA_ARGS__);write(1,b_,n_);}while(0)
#define R(...) do{errno=0;long r_=(long)(__VA_ARGS__);P("%s = %ld%s%s\n",#__VA_ARGS__,r_<0?-1:r_,r_<0?" ":"",r_<0?strerror(errno):"");}while(0)
static long sy(long n,long a,long b,long c,long d,long e,long f){return syscall(n,a,b,c,d,e,f);}
#define SY(n,...) SY_(n,##__VA_ARGS__,0,0,0,0,0,0,0)
#define SY_(n,a,b,c,d,e,f,...) syscall(n,(long)(a),(long)(b),(long)(c),(long)(d),(long)(e),(long)(f))
static void msleep(int ms){struct timespec t={ms/1000,(ms%1000)*1000000L};while(nanosleep(&t,&t));}
#define TS(n) (&(struct timespec){.tv_nsec=n})
