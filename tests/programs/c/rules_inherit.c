// SPDX-License-Identifier: GPL-2.0-or-later
/* What fork, vfork, clone and execve hand on */
#include "rules.h"
static char alt[65536],stk[65536] __attribute__((aligned(16)));
static void h(int s){}
static int show(void*a){const char*w=a;stack_t o;syscall(SYS_sigaltstack,0,&o);sigset_t m,pe;sigprocmask(0,0,&m);sigpending(&pe);struct itimerval it;getitimer(0,&it);int pd=-1,sr=-1;prctl(PR_GET_PDEATHSIG,&pd);prctl(PR_GET_CHILD_SUBREAPER,&sr);char nm[20];prctl(PR_GET_NAME,nm);long hd=-1,ln;SY(SYS_get_robust_list,0,&hd,&ln);char b[3000];int f=open("/proc/self/status",0);int n=read(f,b,2999);b[n]=0;close(f);char*q=strstr(b,"VmLck:");int lck=q?atoi(q+6):-1;struct sigaction sa;sigaction(SIGUSR1,0,&sa);struct itimerspec is;int tg=SY(SYS_timer_gettime,0,&is);struct sched_param sp;
 P("%s: alt %d %zu fl %x mask %lx pend %lx itimer %d pd %d sub %d name %s robust %d lck %d usr1 %d timer %d nnp %d kc %d dump %d slack %d nice %d pers %lx pol %lx umask %o alarm-left %d\n",w,o.ss_sp==alt,o.ss_size,o.ss_flags,*(long*)&m,*(long*)&pe,it.it_value.tv_sec>0,pd,sr,nm,hd!=0,lck,sa.sa_handler==h?1:sa.sa_handler==SIG_IGN?2:0,tg,prctl(PR_GET_NO_NEW_PRIVS,0,0,0,0),prctl(PR_GET_KEEPCAPS),prctl(PR_GET_DUMPABLE),prctl(PR_GET_TIMERSLACK),getpriority(0,0),SY(SYS_personality,-1),SY(SYS_sched_getscheduler,0),umask(umask(0)),0);return 0;}
static int thr(void*a){show("thread");*(volatile int*)a=1;SY(SYS_exit,0);return 0;}
int main(int c,char**v){if(c==0||!v[0]||!*v[0]){P("argc %d argv0 %s\n",c,v[0]?v[0]:"NULL");return 5;}if(c>1){show("exec");return 0;}
 stack_t o={.ss_sp=alt,.ss_size=65536};syscall(SYS_sigaltstack,&o,0);sigset_t m;sigemptyset(&m);sigaddset(&m,SIGHUP);sigaddset(&m,SIGUSR2);sigprocmask(0,&m,0);raise(SIGHUP);struct itimerval it={{0,0},{100,0}};setitimer(0,&it,0);prctl(PR_SET_PDEATHSIG,SIGURG);prctl(PR_SET_CHILD_SUBREAPER,1);prctl(PR_SET_NAME,"parent");SY(SYS_set_robust_list,stk,24);mlock(alt,8192);signal(SIGUSR1,h);int t;SY(SYS_timer_create,0,0,&t);prctl(PR_SET_KEEPCAPS,1);prctl(PR_SET_TIMERSLACK,777);setpriority(0,0,2);umask(027);SY(SYS_sched_setscheduler,0,3|0x40000000,&(int){0});
 int st;show("self");pid_t k=fork();if(!k){show("fork");_exit(0);}waitpid(k,&st,0);
 k=vfork();if(!k){show("vfork");_exit(0);}waitpid(k,&st,0);
 k=clone(show,stk+65000,CLONE_VM|SIGCHLD,"clonevm");waitpid(k,&st,0);
 volatile int done=0;clone(thr,stk+65000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD,(void*)&done);while(!done)msleep(3);msleep(5);
 k=fork();if(!k){execl("/proc/self/exe","x","1",0);}waitpid(k,&st,0);
 k=fork();if(!k){char*e[]={0};execve("/proc/self/exe",e,e);_exit(9);}waitpid(k,&st,0);P("%x\n",st);
 k=fork();if(!k){char*e[]={0};execve("/proc/self/exe",0,0);_exit(9);}waitpid(k,&st,0);P("%x\n",st);
 k=fork();if(!k){char*e[]={"x","y",0};int f=open("/proc/self/exe",O_RDONLY);fexecve(f,e,e+2);P("fexecve %s\n",strerror(errno));_exit(9);}waitpid(k,&st,0);P("%x\n",st);
 k=fork();if(!k){setreuid(-1,12345);int pd;prctl(PR_GET_PDEATHSIG,&pd);P("after setreuid pd %d dump %d\n",pd,prctl(PR_GET_DUMPABLE));_exit(0);}waitpid(k,&st,0);
 k=fork();if(!k){prctl(PR_SET_PDEATHSIG,SIGTERM);setuid(12345);int pd;prctl(PR_GET_PDEATHSIG,&pd);P("after setuid pd %d dump %d\n",pd,prctl(PR_GET_DUMPABLE));_exit(0);}waitpid(k,&st,0);
}
