// SPDX-License-Identifier: GPL-2.0-or-later
/* Threads that exit, execute a program, end their process, in any order */
#include "rules.h"
static char stk[4][65536] __attribute__((aligned(16)));
static int thr(int i,int(*f)(void*)){return clone(f,stk[i]+65000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM,0);}
int t7(void*a){msleep(20);SY(SYS_exit,7);return 0;}
int tsl(void*a){for(;;)pause();}
int tex(void*a){msleep(20);execl("/bin/true","true",0);return 0;}
static char*self;int texf(void*a){msleep(20);execl(self,"x","1",0);return 0;}
int tg(void*a){msleep(20);SY(SYS_exit_group,9);return 0;}
int main(int c,char**v){self=v[0];int st;pid_t k;
 if(c>1){char l[60];int n=readlink("/proc/self/task",l,9);_exit(getpid()==gettid()?33:34);}
 k=fork();if(!k){thr(0,t7);SY(SYS_exit,5);}R(waitpid(k,&st,0)==k);P("last thread's code? %x\n",st);
 k=fork();if(!k){thr(0,tsl);thr(1,tex);SY(SYS_exit,5);}R(waitpid(k,&st,0)==k);P("exec after leader exit %x\n",st);
 k=fork();if(!k){thr(0,tsl);thr(1,texf);SY(SYS_exit,5);}R(waitpid(k,&st,0)==k);P("exec after leader exit %x\n",st);
 k=fork();if(!k){thr(0,tsl);thr(1,texf);for(;;)pause();}R(waitpid(k,&st,0)==k);P("exec %x\n",st);
 k=fork();if(!k){thr(0,texf);thr(1,texf);thr(2,texf);for(;;)pause();}R(waitpid(k,&st,0)==k);P("3 execs %x\n",st);
 k=fork();if(!k){thr(0,tg);thr(1,t7);SY(SYS_exit,5);}R(waitpid(k,&st,0)==k);P("group %x\n",st);
 k=fork();if(!k){thr(0,t7);thr(1,tsl);SY(SYS_exit,5);}msleep(50);kill(k,SIGKILL);R(waitpid(k,&st,0)==k);P("kill %x\n",st);
 k=fork();if(!k){signal(SIGCHLD,SIG_IGN);thr(0,t7);_exit(0);}R(waitpid(k,&st,0)==k);P("%x\n",st);
 siginfo_t si;k=fork();if(!k){thr(0,t7);SY(SYS_exit,5);}R(waitid(P_PID,k,&si,WEXITED));P("code %d st %d\n",si.si_code,si.si_status);
}
