// SPDX-License-Identifier: GPL-2.0-or-later
/* A child's exit signal is SIGCHLD once it, or its parent, has executed a program */
#include "rules.h"
void hp(int s,siginfo_t*i,void*u){P("sig %d code %d st %d\n",s,i->si_code,i->si_status);}
int main(int c,char**v){
 if(c==2){struct sigaction sa={0};sa.sa_sigaction=hp;sa.sa_flags=SA_SIGINFO;sigaction(SIGUSR1,&sa,0);sigaction(SIGCHLD,&sa,0);msleep(200);int st;int r;while((r=waitpid(-1,&st,0))<0&&errno==EINTR);P("wait %d %x\n",r>0,st);return 0;}
 if(c==3){msleep(100);return 9;}
 signal(SIGUSR1,SIG_IGN);
 pid_t k=SY(SYS_clone,SIGUSR1,0,0,0,0);if(!k){msleep(100);_exit(4);}
 if(!fork()){  /* child itself execs: exit_signal becomes SIGCHLD */
   struct sigaction sa={0};sa.sa_sigaction=hp;sa.sa_flags=SA_SIGINFO;sigaction(SIGUSR1,&sa,0);sigaction(SIGCHLD,&sa,0);
   pid_t q=SY(SYS_clone,SIGUSR1,0,0,0,0);if(!q){execl("/proc/self/exe","x","1","2",0);_exit(4);}
   msleep(60);int st;int r;while((r=waitpid(-1,&st,0))<0&&errno==EINTR);P("A wait %d %x\n",r>0,st);
   q=SY(SYS_clone,SIGUSR1,0,0,0,0);if(!q){_exit(4);} while((r=waitpid(-1,&st,0))<0&&errno==EINTR);P("B wait %d %s\n",r>0,strerror(errno));while((r=waitpid(-1,&st,__WCLONE))<0&&errno==EINTR);P("B wait %d %x\n",r>0,st);
   _exit(0);}
 int st;wait(&st);
 execl("/proc/self/exe","x","1",0);
}
