// SPDX-License-Identifier: GPL-2.0-or-later
/* A kill in each state, what wait says of each signal */
#include "rules.h"
/* waiting + signals: SIGCHLD siginfo queue, EINTR of wait4, WNOWAIT, P_PGID; kill races; SIGKILL in states */
static int n;static void h(int s,siginfo_t*i,void*u){n++;}
int main(){int st;struct sigaction sa={0};sa.sa_sigaction=h;sa.sa_flags=SA_SIGINFO;sigaction(SIGCHLD,&sa,0);sigset_t m,o;sigemptyset(&m);sigaddset(&m,SIGCHLD);sigprocmask(SIG_BLOCK,&m,&o);
 pid_t k[3];for(int i=0;i<3;i++){k[i]=fork();if(!k[i])_exit(i+1);}msleep(50);siginfo_t si;R(sigtimedwait(&m,&si,TS(0)));P("first child %d st %d code %d\n",si.si_pid==k[0]||si.si_pid==k[1]||si.si_pid==k[2],si.si_status>0,si.si_code);R(sigtimedwait(&m,&si,TS(0)));for(int i=0;i<3;i++)waitpid(k[i],0,0);sigprocmask(SIG_SETMASK,&o,0);P("n %d\n",n);
 /* kill in each state */
 int p[2];pipe(p);struct{const char*w;int kind;}t[]={{"pause",0},{"read pipe",1},{"futex",2},{"stopped",3},{"vfork parent",4},{"sigwait",5},{"wait",6},{"epoll",7},{"nanosleep",8},{"spinning",9},{"blocked all",10},{"write pipe full",11},{"poll",12}};
 for(int i=0;i<13;i++){pid_t q=fork();if(!q){char c;int fx=0;sigset_t a;sigfillset(&a);switch(i){case 0:for(;;)pause();case 1:read(p[0],&c,1);break;case 2:SY(SYS_futex,&fx,0,0,0);break;case 3:raise(SIGSTOP);break;case 4:if(!vfork()){msleep(100);_exit(0);}break;case 5:{int s;sigprocmask(0,&a,0);sigemptyset(&a);sigaddset(&a,SIGUSR1);sigwait(&a,&s);}break;case 6:if(!fork()){msleep(100);_exit(0);}wait(0);break;case 7:{struct epoll_event e;epoll_wait(epoll_create1(0),&e,1,-1);}break;case 8:sleep(100);break;case 9:for(;;);case 10:sigprocmask(0,&a,0);for(;;)pause();case 11:{int z[2];pipe(z);char b[70000];write(z[1],b,70000);}break;case 12:poll(0,0,-1);}_exit(77);}
  msleep(20);kill(q,SIGKILL);while(waitpid(q,&st,0)<0);P("%s: %x\n",t[i].w,st);}
 /* SIGTERM likewise for stopped: pending until cont */
 pid_t q=fork();if(!q){raise(SIGSTOP);_exit(1);}while(waitpid(q,&st,WUNTRACED)<0);P("%x\n",st);kill(q,SIGTERM);msleep(20);P("%d\n",waitpid(q,&st,WNOHANG));kill(q,SIGCONT);while(waitpid(q,&st,0)<0);P("%x\n",st);
 /* stop of a multithreaded/vfork etc */
 q=fork();if(!q){pthread_t x;pthread_create(&x,0,(void*(*)(void*))pause,0);for(;;)pause();}msleep(20);kill(q,SIGSTOP);while(waitpid(q,&st,WUNTRACED)<0);P("mt stop %x\n",st);kill(q,SIGCONT);while(waitpid(q,&st,WCONTINUED)<0);P("mt cont %x\n",st);kill(q,SIGSEGV);while(waitpid(q,&st,0)<0);P("mt killed %x\n",st&0x7f);
 /* abort, SIGQUIT statuses */
 int sg[]={SIGQUIT,SIGILL,SIGTRAP,SIGABRT,SIGBUS,SIGFPE,SIGUSR1,SIGSEGV,SIGPIPE,SIGALRM,SIGSTKFLT,SIGXCPU,SIGXFSZ,SIGVTALRM,SIGPROF,SIGIO,SIGPWR,SIGSYS,34,64};for(int i=0;i<20;i++){q=fork();if(!q){kill(getpid(),sg[i]);_exit(50);}while(waitpid(q,&st,0)<0);P("%d:%x ",sg[i],st&0x7f);}P("\n");int ig[]={SIGCHLD,SIGURG,SIGWINCH,SIGCONT};for(int i=0;i<4;i++){q=fork();if(!q){signal(SIGCHLD,SIG_DFL);kill(getpid(),ig[i]);_exit(50);}while(waitpid(q,&st,0)<0);P("%d:%x ",ig[i],st);}P("\n");
 /* exit code truncation, exit vs _exit via clone thread */
 q=fork();if(!q)_exit(-1);while(waitpid(q,&st,0)<0);P("%x\n",st);q=fork();if(!q)SY(SYS_exit,0x12345);while(waitpid(q,&st,0)<0);P("%x\n",st);
}
