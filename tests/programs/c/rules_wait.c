// SPDX-License-Identifier: GPL-2.0-or-later
/* Exit signals of clone, PR_SET_PDEATHSIG, errors of waitid and wait4 */
#include "rules.h"
static pid_t me;
void hp(int s,siginfo_t*i,void*u){P("sig %d code %d pid %d uid %d status %d\n",s,i->si_code,i->si_pid!=0,i->si_uid,s==SIGCHLD?i->si_status:0);}
int main(){me=getpid();struct sigaction sa={0};sa.sa_sigaction=hp;sa.sa_flags=SA_SIGINFO;sigaction(SIGUSR1,&sa,0);sigaction(SIGCHLD,&sa,0);sigaction(SIGUSR2,&sa,0);sigaction(40,&sa,0);
 prctl(PR_SET_CHILD_SUBREAPER,1);
 int p[2];pipe(p);char c;
 sigset_t cm;sigemptyset(&cm);sigaddset(&cm,SIGCHLD);sigprocmask(0,&cm,0);if(!fork()){ sigprocmask(SIG_UNBLOCK,&cm,0);
  if(!fork()){ prctl(PR_SET_PDEATHSIG,SIGUSR1);write(p[1],"x",1);msleep(300);P("reparented to root %d\n",getppid()==me);_exit(3);}
  read(p[0],&c,1);_exit(7);}
 int st;msleep(200);sigprocmask(SIG_UNBLOCK,&cm,0);for(int i=0;i<2;i++){pid_t r;while((r=wait(&st))<0&&errno==EINTR);P("st %x\n",st);}
 /* clone exit signals */
 for(int s=1;s<65;s++)if(s!=9&&s!=19&&(s<32||s>34))sigaction(s,&sa,0);
 for(int es=0;es<=255;es+= es==0?SIGUSR1:es==SIGUSR1?30:es==40?24:es==64?1:es==65?135:55){
  pid_t k=SY(SYS_clone,es,0,0,0,0);if(!k)_exit(5);
  int r=waitpid(k,&st,0);P("es %d wait %d %s",es,r==k,r<0?strerror(errno):"");while((r=waitpid(k,&st,__WALL))<0&&errno==EINTR);P(" wall %d %x\n",r==k,st);}
 /* exit_signal vs exec is in s3 */
 /* waitid error writes info */
 siginfo_t si;memset(&si,0x11,sizeof si);R(waitid(P_ALL,0,&si,WEXITED));P("%x %x %x %x\n",si.si_signo,si.si_code,si.si_pid,si.si_status);
 memset(&si,0x11,sizeof si);R(waitid(P_PID,-1,&si,WEXITED));P("%x %x %x %x\n",si.si_signo,si.si_code,si.si_pid,si.si_status);
 memset(&si,0x11,sizeof si);R(waitid(P_ALL,0,&si,0));P("%x %x %x %x\n",si.si_signo,si.si_code,si.si_pid,si.si_status);
 pid_t k=fork();if(!k){msleep(50);_exit(1);}
 memset(&si,0x11,sizeof si);R(waitid(P_ALL,0,&si,WEXITED|WNOHANG));P("%x %x %x %x\n",si.si_signo,si.si_code,si.si_pid,si.si_status);
 R(waitid(P_ALL,0,0,WEXITED|WNOHANG));
 while(waitid(P_PID,k,&si,WEXITED|WNOWAIT)<0&&errno==EINTR);P("%d %d %d %d\n",si.si_signo,si.si_code,si.si_pid==k,si.si_status);
 R(waitid(P_PID,k,&si,WSTOPPED|WNOHANG));R(waitid(P_PGID,0,0,WEXITED)); R(waitid(P_PGID,-1,0,WEXITED));R(waitid(7,0,0,WEXITED));
 R(SY(SYS_wait4,-1,1,0,0));
 k=fork();if(!k)_exit(1);msleep(30);R(SY(SYS_wait4,k,1,0,0)<0);R(SY(SYS_wait4,k,0,0,0));
 R(SY(SYS_wait4,-1,0,0x100,0));R(SY(SYS_wait4,INT_MIN,0,0,0));R(SY(SYS_wait4,me,0,0,0));R(SY(SYS_wait4,-me,0,0,0));
 k=fork();if(!k)_exit(1);msleep(30);R(SY(SYS_waitid,P_PID,k,1,WEXITED,0));R(SY(SYS_waitid,P_PID,k,0,WEXITED,0));
}
