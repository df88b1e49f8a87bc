// SPDX-License-Identifier: GPL-2.0-or-later
/* pidfds of threads, and whom pidfd_send_signal is for */
#include "rules.h"
static int po(pid_t p,int f){return syscall(434,p,f);}
static int ps(int fd,int s,int fl){return syscall(424,fd,s,0,fl);}
static int pl(int fd,int ms){struct pollfd p={fd,POLLIN,0};int r=poll(&p,1,ms);return r<0?r:p.revents;}
static char stk[4][16384] __attribute__((aligned(16)));static volatile int go;static char*self;
static int thr(int i,int(*f)(void*)){return clone(f,stk[i]+16000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM,0);}
static int th(void*a){while(!go)msleep(5);syscall(SYS_exit,0);}
static int tx(void*a){msleep(100);execl(self,self,"x",(char*)0);return 0;}
static pid_t hid;static void h(int s,siginfo_t*i,void*u){P("sig %d code %d pid %d by %s\n",s,i->si_code,i->si_pid==getpid(),gettid()==hid?"thread":gettid()==getpid()?"leader":"other");}
int main(int c,char**v){int st;siginfo_t si;self=v[0];if(c>1){msleep(100);_exit(8);}
 setpgid(0,0);struct sigaction sa={.sa_sigaction=h,.sa_flags=SA_SIGINFO};sigaction(SIGUSR1,&sa,0);
 int t=thr(0,th);R(po(t,0));int f=po(t,O_EXCL),l=po(getpid(),O_EXCL),g=po(getpid(),0);R(f>=0);P("fl %o %o %o\n",fcntl(f,F_GETFL),fcntl(l,F_GETFL),fcntl(g,F_GETFL));R(po(t,O_EXCL|O_CLOEXEC));int n=po(t,O_EXCL|O_NONBLOCK);P("%o\n",fcntl(n,F_GETFL));
 R(pl(f,0));R(waitid(P_PIDFD,f,&si,WEXITED));R(waitid(P_PIDFD,n,&si,WEXITED));R(waitid(P_PIDFD,f,&si,WEXITED|__WALL));
 hid=t;R(ps(f,SIGUSR1,0));msleep(30);R(ps(f,SIGUSR1,1));msleep(30);R(ps(f,SIGUSR1,2));msleep(30);R(ps(g,SIGUSR1,0));R(ps(g,SIGUSR1,1));R(ps(l,SIGUSR1,0));R(ps(l,SIGUSR1,2));R(ps(f,0,4));R(ps(g,0,4));R(ps(g,0,3));R(ps(g,0,6));R(ps(g,0,8));R(ps(-1,0,8));R(ps(-1,0,0));
 R(ps(-10000,SIGUSR1,0));R(ps(-10001,SIGUSR1,0));R(ps(-10000,SIGUSR1,2));R(ps(-10001,SIGUSR1,1));R(ps(-10002,0,0));R(ps(-10000,0,4));
 int d=open("/proc/self",O_RDONLY|O_DIRECTORY);R(ps(d,SIGUSR1,0));R(ps(d,SIGUSR1,1));R(ps(0,0,0));
 {siginfo_t q={.si_signo=SIGUSR1,.si_code=SI_QUEUE};R(syscall(424,f,SIGUSR1,&q,0));R(syscall(424,l,SIGUSR1,&q,0));q.si_code=SI_TKILL;R(syscall(424,g,SIGUSR1,&q,0));R(syscall(424,f,SIGUSR1,&q,0));msleep(30);}
 int e=epoll_create1(0);struct epoll_event ev={EPOLLIN|EPOLLET,{.u32=4}};R(epoll_ctl(e,EPOLL_CTL_ADD,f,&ev));R(epoll_wait(e,&ev,1,0));go=1;R(epoll_wait(e,&ev,1,1000));P("%x\n",ev.events);R(pl(f,0));R(ps(f,0,0));R(ps(f,SIGUSR1,2));R(po(t,O_EXCL));
 /* the leader exits first */
 pid_t k=fork();if(!k){go=0;thr(1,th);msleep(60);syscall(SYS_exit,5);}
 f=po(k,0);l=po(k,O_EXCL);msleep(120);R(pl(f,0));R(pl(l,0));R(ps(f,0,0));R(ps(l,0,0));R(waitid(P_PIDFD,f,&si,WEXITED|WNOHANG));P("%d\n",si.si_pid);kill(k,9);R(pl(f,1000));R(pl(l,1000));R(waitid(P_PIDFD,l,&si,WEXITED));P("%d %d\n",si.si_code,si.si_status);R(pl(f,0));R(pl(l,0));
 /* a thread executes a program: its pidfd, the leader's */
 int p[2];pipe(p);k=fork();if(!k){t=thr(2,tx);write(p[1],&t,4);for(;;)pause();}read(p[0],&t,4);f=po(k,0);l=po(k,O_EXCL);n=po(t,O_EXCL);R(pl(f,0));R(pl(l,0));R(pl(n,0));R(pl(n,150)!=0);R(pl(f,0));R(pl(l,0));R(ps(n,0,0));R(ps(f,0,0));R(ps(l,0,0));R(pl(f,1000));R(pl(l,0));R(waitid(P_PIDFD,f,&si,WEXITED));P("%d %d\n",si.si_code,si.si_status);
 return 0;}
