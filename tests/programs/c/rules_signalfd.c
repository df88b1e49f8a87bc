// SPDX-License-Identifier: GPL-2.0-or-later
/* signalfd: whose signals, what a bad address loses, stops, timers, epoll */
#include "rules.h"
#include <sys/signalfd.h>
static int pl(int fd,int ms){struct pollfd p={fd,POLLIN,0};int r=poll(&p,1,ms);return r<0?r:p.revents;}
static char stk[4][16384] __attribute__((aligned(16)));
static int f,f2,tids[4];static volatile int ph;static pid_t me;
static void show(const char*w,int fd){struct signalfd_siginfo s[4];int r=read(fd,s,sizeof s);P("%s: %d %s",w,r,r<0?strerror(errno):"");for(int i=0;i<r/128;i++)P(" [%d code %d pid %d st %d int %x ov %d tid %d]",s[i].ssi_signo,s[i].ssi_code,s[i].ssi_pid==me,s[i].ssi_status,s[i].ssi_int,s[i].ssi_overrun,s[i].ssi_tid);P("\n");}
static int th(void*a){P("t: poll %d\n",pl(f,0));show("thread",f);P("t2: poll %d\n",pl(f,0));ph=1;int r=pl(f,2000);P("t3: poll %d\n",r);show("thread",f);ph=2;syscall(SYS_exit,0);}
static int thr(int i,int(*fn)(void*)){return clone(fn,stk[i]+16000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM,0);}
static void fdi(int fd){char n[40],b[600];sprintf(n,"/proc/self/fdinfo/%d",fd);int g=open(n,0);int k=read(g,b,599);close(g);b[k>0?k:0]=0;char*m=strstr(b,"sigmask");P("%s",m?m:"none\n");}
static void hh(int s){P("handler %d\n",s);}
int main(){me=getpid();sigset_t s;sigemptyset(&s);sigaddset(&s,SIGUSR1);sigaddset(&s,SIGCHLD);sigaddset(&s,SIGRTMIN);sigaddset(&s,SIGKILL);sigaddset(&s,SIGSTOP);sigaddset(&s,SIGSEGV);sigaddset(&s,SIGTSTP);sigaddset(&s,SIGALRM);sigaddset(&s,SIGCONT);
 sigprocmask(SIG_BLOCK,&s,0);f=signalfd(-1,&s,SFD_NONBLOCK);fdi(f);R(SY(289,-1,&s,4,0));R(SY(289,-1,&s,8,1));R(SY(289,-2,&s,8,0));R(SY(289,0,&s,8,0));R(SY(289,-1,0,8,0));R(SY(289,-1,1,8,0));R(SY(282,-1,&s,8)>=0);
 char b[300];R(read(f,b,100));R(read(f,b,128));R(read(f,b,0));R(write(f,b,128));R(lseek(f,0,0));R(lseek(f,0,1));R(pread(f,b,128,0));R(fcntl(f,F_GETFL));
 kill(me,SIGUSR1);R(pl(f,0));show("own",f);
 union sigval v={.sival_int=0x1234};for(int i=0;i<6;i++){v.sival_int=i;sigqueue(me,SIGRTMIN,v);}syscall(SYS_tgkill,me,me,SIGUSR1);kill(me,SIGUSR1);show("many",f);show("many",f);show("none",f);
 /* bad buffer loses the signal */
 kill(me,SIGUSR1);R(read(f,1,128));R(pl(f,0));char*pg=mmap(0,8192,3,MAP_PRIVATE|MAP_ANON,-1,0);munmap(pg+4096,4096);kill(me,SIGUSR1);v.sival_int=9;sigqueue(me,SIGRTMIN,v);R(read(f,pg+4096-128,256));R(pl(f,0));show("rest",f);
 kill(me,SIGUSR1);R(read(f,pg+4096-64,128));show("rest",f);
 /* child inherits the fd: reads its own signals */
 kill(me,SIGUSR1);int st;pid_t k=fork();if(!k){P("child poll %d\n",pl(f,0));me=getppid();show("child",f);raise(SIGUSR1);show("child",f);
  _exit(3);}waitpid(k,&st,0);P("st %x\n",st);show("parent",f);show("parent",f);
 /* threads: private pending */
 syscall(SYS_tgkill,me,me,SIGUSR1);v.sival_int=3;sigqueue(me,SIGRTMIN,v);ph=0;int t=thr(0,th);while(ph<1)msleep(5);msleep(50);R(pl(f,0));syscall(SYS_tgkill,me,t,SIGTSTP);while(ph<2)msleep(5);show("main",f);
 /* stop and cont through signalfd */
 kill(me,SIGTSTP);kill(me,SIGCONT);show("stop/cont",f);kill(me,SIGCONT);kill(me,SIGTSTP);show("cont/stop",f);
 /* segv by kill */
 kill(me,SIGSEGV);show("segv",f);
 /* ignored while blocked */
 signal(SIGUSR1,SIG_IGN);kill(me,SIGUSR1);show("ignored",f);signal(SIGUSR1,hh);kill(me,SIGUSR1);signal(SIGUSR1,SIG_IGN);show("set to ignored",f);signal(SIGUSR1,hh);
 /* child exits */
 k=fork();if(!k)_exit(4);msleep(50);show("chld",f);waitpid(k,0,0);k=fork();if(!k){raise(9);}msleep(50);R(waitpid(k,&st,0)==k);show("chld",f);
 signal(SIGCHLD,SIG_IGN);k=fork();if(!k)_exit(4);msleep(50);show("chld ign",f);R(waitpid(k,0,0));signal(SIGCHLD,SIG_DFL);
 /* timers */
 struct itimerval it={{0,20000},{0,20000}};setitimer(0,&it,0);msleep(110);show("alrm",f);memset(&it,0,sizeof it);setitimer(0,&it,0);read(f,b,128);
 struct sigevent se={.sigev_notify=SIGEV_SIGNAL,.sigev_signo=SIGRTMIN,.sigev_value.sival_int=77};int id;SY(SYS_timer_create,1,&se,&id);struct itimerspec is={{0,0},{0,10000000}};SY(SYS_timer_settime,id,0,&is,0);msleep(40);show("timer",f);SY(SYS_timer_delete,id);
 SY(SYS_timer_create,1,&se,&id);is.it_interval.tv_nsec=10000000;SY(SYS_timer_settime,id,0,&is,0);msleep(40);SY(SYS_timer_delete,id);show("deleted",f);
 /* unblocked: handler wins */
 sigset_t u;sigemptyset(&u);sigaddset(&u,SIGUSR1);kill(me,SIGUSR1);R(pl(f,0));sigprocmask(SIG_UNBLOCK,&u,0);R(pl(f,0));
 /* sigwait and sigpending with fd */
 sigprocmask(SIG_BLOCK,&u,0);kill(me,SIGUSR1);sigset_t pe;sigpending(&pe);P("pend %lx\n",*(long*)&pe);show("x",f);sigpending(&pe);P("pend %lx\n",*(long*)&pe);
 /* change mask while polled; epoll */
 int e=epoll_create1(0);struct epoll_event ev={EPOLLIN,{.u32=5}};R(epoll_ctl(e,EPOLL_CTL_ADD,f,&ev));kill(me,SIGUSR1);R(epoll_wait(e,&ev,1,0));sigset_t w;sigemptyset(&w);R(signalfd(f,&w,0)==f);fdi(f);R(epoll_wait(e,&ev,1,0));R(signalfd(f,&s,0)==f);R(epoll_wait(e,&ev,1,0));P("fl %o\n",fcntl(f,F_GETFL));
 /* epoll across fork */
 k=fork();if(!k){raise(SIGUSR1);int r=epoll_wait(e,&ev,1,100);P("child epoll %d\n",r);_exit(0);}waitpid(k,0,0);show("end",f);
 /* blocking read, other process's signal, interrupted by other handler */
 fcntl(f,F_SETFL,0);signal(SIGUSR2,hh);k=fork();if(!k){msleep(50);kill(getppid(),SIGUSR2);msleep(50);kill(getppid(),SIGUSR1);msleep(50);_exit(0);}me=k;show("blocking",f);waitpid(k,0,0);
 struct sigaction sa={.sa_handler=hh};sigaction(SIGUSR2,&sa,0);k=fork();if(!k){msleep(50);kill(getppid(),SIGUSR2);_exit(0);}while(!pl(f,10));/*sigchld*/show("x",f);waitpid(k,0,0);
 k=fork();if(!k){pid_t p=getppid();msleep(50);kill(p,SIGUSR2);msleep(60);_exit(0);}show("norestart",f);waitpid(k,0,0);
 return 0;}
