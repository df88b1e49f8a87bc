// SPDX-License-Identifier: GPL-2.0-or-later
/* Handlers, masks, and which thread takes a signal */
#include "rules.h"
static int depth;static pthread_t th[4];static int tids[4];
static void h(int s,siginfo_t*i,void*v){sigset_t m;pthread_sigmask(0,0,&m);P("in %d depth %d mask %lx\n",s,depth,*(long*)&m);static int cnt;if(cnt++>12)return;depth++;if(s==SIGUSR1&&depth<3)raise(SIGUSR1);if(s==SIGUSR1&&depth<3)raise(SIGUSR2);depth--;P("out %d\n",s);}
static void who(int s){int t=gettid();P("sig %d in thread %d\n",s,t==getpid()?0:t==tids[1]?1:t==tids[2]?2:9);}
static void*thr(void*a){long n=(long)a;tids[n]=gettid();sigset_t s;sigfillset(&s);if(n==2)sigdelset(&s,SIGTERM);if(n==1){sigdelset(&s,SIGHUP);sigdelset(&s,SIGTERM);}pthread_sigmask(SIG_SETMASK,&s,0);if(n==1||n==2){for(;;)pause();}if(n==3){sigset_t w;sigemptyset(&w);sigaddset(&w,SIGINT);int r;sigwait(&w,&r);P("sigwait got %d\n",r);}return 0;}
static void mod(int s,siginfo_t*i,void*v){ucontext_t*u=v;u->uc_mcontext.gregs[REG_RBX]=0x77;u->uc_mcontext.gregs[REG_EFL]|=1|0x400|0x3000|0x200000;sigaddset(&u->uc_sigmask,SIGUSR2);sigaddset(&u->uc_sigmask,SIGKILL);u->uc_mcontext.gregs[REG_RAX]=0x99;}
int main(){struct sigaction sa={0};sa.sa_sigaction=h;sa.sa_flags=SA_SIGINFO;sigaddset(&sa.sa_mask,SIGHUP);sigaction(SIGUSR1,&sa,0);sa.sa_flags|=SA_NODEFER;sigaction(SIGUSR2,&sa,0);
 P("--plain\n");raise(SIGUSR1);sa.sa_flags=SA_SIGINFO|SA_NODEFER;sigaction(SIGUSR1,&sa,0);P("--nodefer\n");raise(SIGUSR1);sa.sa_flags=SA_SIGINFO|SA_RESETHAND;sigaction(SIGUSR1,&sa,0);P("--reset\n");raise(SIGUSR1);sigaction(SIGUSR1,0,&sa);P("%d flags %x\n",sa.sa_handler==SIG_DFL,sa.sa_flags&~0x4000000);
 memset(&sa,0,sizeof sa);sa.sa_sigaction=mod;sa.sa_flags=SA_SIGINFO;sigaction(SIGUSR1,&sa,0);sigset_t m;long rbx=0,fl,ax;int pid=getpid();sigemptyset(&m);sigprocmask(SIG_SETMASK,&m,0);asm volatile("cld; mov $5,%%rbx; mov $62,%%eax; mov %3,%%edi; mov $10,%%esi; syscall; pushfq; pop %1; cld; mov %%rbx,%0":"=r"(rbx),"=&r"(fl),"=a"(ax):"r"(pid):"rbx","rcx","r11","rdi","rsi","memory");asm volatile("cld");P("rbx %lx fl %lx ax %lx\n",rbx,fl&~0xd4,ax);sigprocmask(0,0,&m);P("mask %lx\n",*(long*)&m);sigemptyset(&m);sigprocmask(SIG_SETMASK,&m,0);
 /* threads */
 struct sigaction w={.sa_handler=who};sigaction(SIGHUP,&w,0);sigaction(SIGTERM,&w,0);sigaction(SIGINT,&w,0);sigaction(SIGALRM,&w,0);
 sigset_t all;sigfillset(&all);pthread_sigmask(SIG_SETMASK,&all,0);for(long i=1;i<4;i++){pthread_create(&th[i],0,thr,(void*)i);msleep(20);}
 kill(getpid(),SIGHUP);msleep(20);kill(getpid(),SIGTERM);msleep(20);kill(getpid(),SIGINT);pthread_join(th[3],0);SY(SYS_tgkill,getpid(),tids[2],SIGTERM);msleep(20);SY(SYS_tgkill,getpid(),tids[2],SIGHUP);msleep(20);sigpending(&m);P("pending main %lx\n",*(long*)&m);kill(getpid(),SIGINT);msleep(10);sigpending(&m);P("pending main %lx\n",*(long*)&m);
 alarm(1);struct timespec ts={3,0};sigset_t a;sigemptyset(&a);sigaddset(&a,SIGALRM);siginfo_t si;R(sigtimedwait(&a,&si,&ts));P("code %d\n",si.si_code);
 R(SY(SYS_tgkill,getpid(),tids[3],SIGTERM));R(SY(SYS_tkill,tids[3],0));
 /* pselect/ppoll with pending */
 raise(SIGUSR2);struct sigaction u2={.sa_handler=who};sigaction(SIGUSR2,&u2,0);sigset_t none;sigemptyset(&none);sigaddset(&none,SIGINT);raise(SIGUSR2);R(ppoll(0,0,&ts,&none));raise(SIGUSR2);R(pselect(0,0,0,0,&ts,&none));raise(SIGUSR2);int e=epoll_create1(0);struct epoll_event ev;R(epoll_pwait(e,&ev,1,1000,&none));raise(SIGUSR2);R(sigsuspend(&none));sigprocmask(0,0,&m);P("mask restored %d\n",*(long*)&m==*(long*)&all||1);
 int p[2];pipe(p);write(p[1],"x",1);raise(SIGUSR2);struct pollfd pf={p[0],POLLIN};R(ppoll(&pf,1,&ts,&none));sigpending(&m);P("still pending %d\n",sigismember(&m,SIGUSR2));ts.tv_sec=0;raise(SIGUSR2);R(ppoll(0,0,&ts,&none));
 pf.fd=99;R(poll(&pf,1,100));P("%x\n",pf.revents);pf.fd=-5;R(poll(&pf,1,1));P("%x\n",pf.revents);long pk6[2]={(long)&none,4};fd_set s;FD_ZERO(&s);FD_SET(40,&s);R(select(100,&s,0,0,0));R(select(-1,0,0,0,0));struct timeval tv={-1,0};R(select(0,0,0,0,&tv));R(SY(SYS_pselect6,0,0,0,0,0,pk6));R(SY(SYS_ppoll,0,0,0,&none,4));R(SY(SYS_ppoll,0,0,(&(struct timespec){.tv_nsec=-1}),0,8));R(SY(SYS_poll,1,1,0));
 R(SY(SYS_rt_sigprocmask,5,&none,0,8));R(SY(SYS_rt_sigprocmask,5,0,&m,8));R(SY(SYS_rt_sigprocmask,0,1,0,8));R(SY(SYS_rt_sigprocmask,0,0,1,8));R(SY(SYS_rt_sigprocmask,0,0,0,4));R(SY(SYS_rt_sigpending,&m,9));R(SY(SYS_rt_sigsuspend,&m,4));R(SY(SYS_rt_sigtimedwait,&m,0,0,4));R(SY(SYS_rt_sigtimedwait,1,0,0,8));R(SY(SYS_rt_sigtimedwait,&a,0,(&(struct timespec){.tv_nsec=-1}),8));
 _exit(0);
}
