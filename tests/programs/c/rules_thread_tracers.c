// SPDX-License-Identifier: GPL-2.0-or-later
/* Threads that fork, wait, trace; tracees that read a signalfd, or were stopped before; errors of waitid */
#include "rules.h"
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/sem.h>
static char stk[4][16384] __attribute__((aligned(16)));
static int thr(int i,int fl,int(*f)(void*),void*a){return clone(f,stk[i]+16000,fl,a);}
#define TH (CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM)
static volatile int go;static int id;
static int tf(void*a){pid_t k=fork();if(!k){msleep(80);P("ppid same %d\n",getppid()==(int)(long)a);_exit(4);}go=k;syscall(SYS_exit,0);}
static int tpd(void*a){pid_t k=fork();if(!k){prctl(PR_SET_PDEATHSIG,SIGUSR1);go=1;sigset_t s;sigemptyset(&s);sigaddset(&s,SIGUSR1);sigprocmask(0,&s,0);struct timespec t={0,200000000};int r=sigtimedwait(&s,0,&t);P("pdeath on thread exit %d\n",r);_exit(0);}msleep(50);syscall(SYS_exit,0);}
static int tw(void*a){int st;pid_t k=(long)a;int r=waitpid(k,&st,__WNOTHREAD);P("nothread %d %s\n",r>0,r<0?strerror(errno):"");r=waitpid(k,&st,0);P("any %d %x\n",r>0,st);go=2;syscall(SYS_exit,0);}
static int tptr(void*a){int r=ptrace(PTRACE_CONT,(long)a,0,0);P("other thread cont %d %s\n",r,strerror(errno));int st;r=waitpid((long)a,&st,WNOHANG|__WALL);P("other thread wait %d\n",r);go=3;syscall(SYS_exit,0);}
static int sl(void*a){pause();}
int main(){int st;pid_t k;siginfo_t si;char q[100];
 k=fork();if(!k){thr(0,TH,tf,(void*)(long)getpid());while(!go)msleep(5);msleep(20);R(waitpid(go,&st,0)==go);P("%x\n",st);_exit(0);}waitpid(k,0,0);
 k=fork();if(!k){go=0;thr(0,TH,tpd,0);R(wait(&st)>0);_exit(0);}waitpid(k,0,0);
 k=fork();if(!k)_exit(3);go=0;thr(1,TH,tw,(void*)(long)k);while(go!=2)msleep(5);R(waitpid(k,&st,0));
 k=fork();if(!k){ptrace(PTRACE_TRACEME,0,0,0);raise(SIGSTOP);_exit(0);}waitpid(k,&st,0);thr(2,TH,tptr,(void*)(long)k);while(go!=3)msleep(5);ptrace(PTRACE_CONT,k,0,0);R(waitpid(k,&st,0)==k);P("%x\n",st);
 /* tracee with signalfd */
 k=fork();if(!k){ptrace(PTRACE_TRACEME,0,0,0);sigset_t s;sigemptyset(&s);sigaddset(&s,SIGUSR1);sigprocmask(0,&s,0);int f=signalfd(-1,&s,0);raise(SIGSTOP);struct signalfd_siginfo i;int r=read(f,&i,sizeof i);P("tracee read %d %d\n",r,i.ssi_signo);raise(SIGSTOP);_exit(2);}
 waitpid(k,&st,0);ptrace(PTRACE_CONT,k,0,0);msleep(20);kill(k,SIGUSR1);R(waitpid(k,&st,0)==k);P("%x\n",st);ptrace(PTRACE_CONT,k,0,SIGUSR1);msleep(20);R(waitpid(k,&st,WNOHANG)==k);kill(k,9);R(waitpid(k,&st,0)==k);P("%x\n",st);
 /* tracee killed in stop, tracer exits */
 k=fork();if(!k){pid_t g=fork();if(!g){ptrace(PTRACE_TRACEME,0,0,0);raise(SIGSTOP);_exit(1);}waitpid(g,&st,0);R(ptrace(PTRACE_SETOPTIONS,g,0,PTRACE_O_EXITKILL));_exit(0);}waitpid(k,&st,0);
 /* attach to a stopped child; seize; detach with stop */
 k=fork();if(!k){for(;;)pause();}kill(k,SIGSTOP);R(waitpid(k,&st,WUNTRACED)==k);R(ptrace(PTRACE_SEIZE,k,0,0));R(waitpid(k,&st,WUNTRACED|__WALL)==k);P("%x\n",st);R(ptrace(PTRACE_DETACH,k,0,0));msleep(20);sprintf(q,"/proc/%d/stat",k);{char b[200];int f=open(q,0);int n=read(f,b,199);b[n]=0;close(f);P("%c\n",strrchr(b,')')[2]);}R(waitpid(k,&st,WUNTRACED|WNOHANG)==k);kill(k,SIGCONT);R(waitpid(k,&st,WCONTINUED)==k);P("%x\n",st);R(ptrace(PTRACE_ATTACH,k,0,0));R(ptrace(PTRACE_ATTACH,k,0,0));R(waitpid(k,&st,0)==k);P("%x\n",st);R(kill(k,SIGCONT));R(ptrace(PTRACE_DETACH,k,0,0));kill(k,9);R(waitpid(k,&st,0)==k);P("%x\n",st);
 R(ptrace(PTRACE_ATTACH,getpid(),0,0));R(ptrace(PTRACE_ATTACH,1<<29,0,0));R(ptrace(PTRACE_CONT,getppid(),0,0));
 /* semaphores: thread of dying group in semop */
 id=semget(IPC_PRIVATE,2,0600);struct sembuf sb={0,-1,SEM_UNDO};k=fork();if(!k){int tsem(void*a){struct sembuf s={1,1,SEM_UNDO};semop(id,&s,1);s.sem_num=0;s.sem_op=-1;semop(id,&s,1);return 0;}thr(3,TH,tsem,0);msleep(40);P("v %d n %d\n",semctl(id,1,GETVAL),semctl(id,0,GETNCNT));_exit(0);}waitpid(k,0,0);P("v %d n %d\n",semctl(id,1,GETVAL),semctl(id,0,GETNCNT));
 k=fork();if(!k){alarm(0);struct sembuf s={0,-1,0};struct timespec t={0,30000000};R(semtimedop(id,&s,1,&t));struct itimerval it={{0,0},{0,20000}};void h(int x){}signal(SIGALRM,h);setitimer(0,&it,0);R(semop(id,&s,1));_exit(0);}waitpid(k,0,0);semctl(id,0,IPC_RMID);
 /* waitid combos */
 R(waitid(P_PID,0,&si,WEXITED));R(waitid(P_PGID,-1,&si,WEXITED));R(waitid(9,0,&si,WEXITED));R(waitid(P_ALL,0,&si,0));R(waitid(P_ALL,0,&si,WNOHANG));R(waitid(P_ALL,0,&si,WEXITED|0x100));R(waitpid(INT_MIN,&st,0));R(waitpid(-1,&st,0x100));R(wait4(-1,&st,WNOWAIT,0));k=fork();if(!k)_exit(0);R(waitid(P_PGID,0,&si,WEXITED));R(waitid(P_ALL,0,0,WEXITED));k=fork();if(!k)_exit(1);R(syscall(SYS_waitid,P_ALL,0,0,WEXITED,0)==0);k=fork();if(!k)_exit(1);R(syscall(SYS_waitid,P_ALL,0,8,WEXITED,0));R(wait(&st));
 /* exit status when SIGCHLD becomes ignored with zombies */
 k=fork();if(!k)_exit(1);msleep(20);signal(SIGCHLD,SIG_IGN);R(waitpid(k,&st,0)==k);struct sigaction sa={.sa_handler=SIG_DFL,.sa_flags=SA_NOCLDWAIT};sigaction(SIGCHLD,&sa,0);k=fork();if(!k)_exit(1);R(waitpid(k,&st,0));signal(SIGCHLD,SIG_DFL);
 struct rusage ru;k=fork();if(!k)_exit(0);R(wait4(k,&st,0,(void*)8));R(wait4(k,&st,0,&ru));
 return 0;}
