// SPDX-License-Identifier: GPL-2.0-or-later
/* Timers, limits, masks and handlers over fork and execve, also of a thread */
#include "rules.h"
static void h(int s){P("handler %d\n",s);}
static void burn(int ms){struct timespec t;long t0;clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);t0=t.tv_sec*1000+t.tv_nsec/1000000;do clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t);while(t.tv_sec*1000+t.tv_nsec/1000000-t0<ms);}
static char stk[4][16384] __attribute__((aligned(16)));
static int thr(int i,int(*fn)(void*)){return clone(fn,stk[i]+16000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM,0);}
static int tx(void*a){execl(a,a,"thr",(char*)0);return 0;}
int main(int c,char**v){int st;pid_t k;struct itimerval it,o;struct itimerspec is={0},os;int id,id2;struct sigevent se={.sigev_notify=SIGEV_SIGNAL,.sigev_signo=SIGUSR1};
 if(c>1){P("exec %s\n",v[1]);for(int i=0;i<3;i++){getitimer(i,&o);P("it %d: %d %d\n",i,o.it_value.tv_sec||o.it_value.tv_usec,(int)o.it_interval.tv_sec);}R(SY(SYS_timer_gettime,0,&os));R(SY(SYS_timer_create,1,0,&id));P("id %d\n",id);sigset_t pe;sigpending(&pe);P("pend %lx\n",*(long*)&pe);P("alarm %d\n",alarm(0)>0);struct rlimit r;getrlimit(RLIMIT_CPU,&r);P("cpu %ld %ld\n",(long)r.rlim_cur,(long)r.rlim_max);int n;prctl(PR_GET_PDEATHSIG,&n);P("pds %d ka %ld dump %ld slack %ld nnp %ld thp %ld\n",n,(long)prctl(PR_GET_KEEPCAPS),(long)prctl(PR_GET_DUMPABLE),(long)prctl(PR_GET_TIMERSLACK),(long)prctl(PR_GET_NO_NEW_PRIVS,0,0,0,0),(long)prctl(PR_GET_THP_DISABLE,0,0,0,0));sigset_t m;sigprocmask(0,0,&m);P("mask %lx\n",*(long*)&m);for(int i=1;i<65;i++){struct{void*h;long f,r,m;}sa;syscall(SYS_rt_sigaction,i,0,&sa,8);if(sa.h||sa.f||sa.m)P("sa %d %ld %lx %lx\n",i,(long)sa.h,sa.f,sa.m);}stack_t ss;sigaltstack(0,&ss);P("alt %x %d\n",ss.ss_flags,(int)ss.ss_size);return 0;}
 /* fork does not inherit timers */
 it=(struct itimerval){{5,0},{50,0}};setitimer(0,&it,0);setitimer(1,&it,0);setitimer(2,&it,0);SY(SYS_timer_create,1,&se,&id);is.it_value.tv_sec=100;SY(SYS_timer_settime,id,0,&is,0);
 k=fork();if(!k){for(int i=0;i<3;i++){getitimer(i,&o);P("child it %d: %d %d\n",i,o.it_value.tv_sec||o.it_value.tv_usec,(int)o.it_interval.tv_sec);}R(SY(SYS_timer_gettime,id,&os));R(SY(SYS_timer_create,1,&se,&id2));P("id2 %d\n",id2);P("alarm %d\n",alarm(0));_exit(0);}waitpid(k,&st,0);
 signal(SIGUSR1,SIG_IGN);struct sigaction sa={.sa_handler=h,.sa_flags=SA_RESTART|SA_NODEFER};sigaddset(&sa.sa_mask,SIGHUP);sigaction(SIGUSR2,&sa,0);sigset_t m;sigemptyset(&m);sigaddset(&m,SIGHUP);sigaddset(&m,SIGRTMIN);sigprocmask(0,&m,0);raise(SIGHUP);se.sigev_signo=SIGRTMIN;
 prctl(PR_SET_PDEATHSIG,SIGTERM);prctl(PR_SET_KEEPCAPS,1);prctl(PR_SET_DUMPABLE,0);prctl(PR_SET_TIMERSLACK,12345);prctl(PR_SET_THP_DISABLE,1,0,0,0);stack_t ss={stk[3],0,16384};sigaltstack(&ss,0);
 struct rlimit r={50,60};setrlimit(RLIMIT_CPU,&r);
 k=fork();if(!k){it=(struct itimerval){{5,0},{50,0}};setitimer(0,&it,0);setitimer(1,&it,0);setitimer(2,&it,0);SY(SYS_timer_create,1,&se,&id2);is.it_value=(struct timespec){0,1000000};SY(SYS_timer_settime,id2,0,&is,0);msleep(20);sigset_t pe;sigpending(&pe);P("pend %lx\n",*(long*)&pe);raise(SIGHUP);execl(v[0],v[0],"plain",(char*)0);_exit(1);}waitpid(k,&st,0);P("%x\n",st);
 

 k=fork();if(!k){it=(struct itimerval){{5,0},{50,0}};setitimer(0,&it,0);clone((int(*)(void*))tx,stk[1]+16000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM,v[0]);pause();_exit(0);}waitpid(k,&st,0);P("%x\n",st);
 it=(struct itimerval){{0,0},{0,0}};setitimer(0,&it,0);setitimer(1,&it,0);setitimer(2,&it,0);
 return 0;}
