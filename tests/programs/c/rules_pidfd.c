// SPDX-License-Identifier: GPL-2.0-or-later
/* pidfds: poll, waitid, signals, what is left of the dead */
#include "rules.h"
#include <sys/signalfd.h>
static int po(pid_t p,int f){return syscall(434,p,f);}
static int ps(int fd,int s,int fl){return syscall(424,fd,s,0,fl);}
static int pl(int fd,int ms){struct pollfd p={fd,POLLIN,0};int r=poll(&p,1,ms);return r<0?r:p.revents;}
static void fdi(int fd){char n[40],b[600];sprintf(n,"/proc/self/fdinfo/%d",fd);int f=open(n,0);int k=read(f,b,599);close(f);if(k<0){P("fdinfo err\n");return;}b[k]=0;for(char*l=strtok(b,"\n");l;l=strtok(0,"\n")){if(!strncmp(l,"mnt",3)||!strncmp(l,"ino",3))continue;int v;char*t=strchr(l,'\t');if((!strncmp(l,"Pid",3)||!strncmp(l,"NSp",3))&&atoi(t+1)>0)P("%.*s >0\n",(int)(t-l),l);else P("%s\n",l);}}
static char stk[4][16384] __attribute__((aligned(16)));
static volatile int go;
static int th(void*a){while(!go)msleep(5);msleep(50);return 0;}
static int thr(int i,int(*f)(void*)){return clone(f,stk[i]+16000,CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD|CLONE_SYSVSEM,0);}
int main(){int st;siginfo_t si;pid_t k=fork();if(!k){pause();_exit(1);}
 int fd=po(k,0);R(fd>=0);fdi(fd);char l[60];int n;char nm[30];sprintf(nm,"/proc/self/fd/%d",fd);n=readlink(nm,l,59);l[n>0?n:0]=0;P("link %.12s\n",l);
 struct stat s;R(fstat(fd,&s));
 R(read(fd,l,8));R(write(fd,l,8));R(lseek(fd,0,0));R(lseek(fd,1,1));R(fcntl(fd,F_GETFL));R(fcntl(fd,F_GETFD));R(ioctl(fd,0x5401,l));R(mmap(0,4096,1,1,fd,0)!=MAP_FAILED);
 R(ps(fd,0,0));R(ps(fd,0,8));R(ps(fd,0,1));R(ps(fd,0,2));R(ps(fd,0,3));R(ps(fd,65,0));R(ps(0,0,0));R(ps(99,0,0));
 R(pl(fd,0));R(waitid(P_PIDFD,fd,&si,WNOHANG|WEXITED));P("pid %d\n",si.si_pid);
 kill(k,SIGSTOP);R(waitid(P_PIDFD,fd,&si,WSTOPPED));P("%d %d %d %d\n",si.si_pid==k,si.si_signo,si.si_code,si.si_status);R(pl(fd,0));
 R(ps(fd,SIGCONT,0));R(waitid(P_PIDFD,fd,&si,WCONTINUED));P("%d %d %d %d\n",si.si_pid==k,si.si_signo,si.si_code,si.si_status);
 R(ps(fd,SIGTERM,0));R(pl(fd,1000));fdi(fd);R(ps(fd,0,0));R(ps(fd,9,0));R(po(k,0)>=0);
 R(waitid(P_PIDFD,fd,&si,WEXITED|WNOWAIT));R(pl(fd,0));R(waitid(P_PIDFD,fd,&si,WEXITED));P("%d %d %d %d\n",si.si_pid==k,si.si_signo,si.si_code,si.si_status);
 R(pl(fd,0));fdi(fd);R(ps(fd,0,0));R(waitid(P_PIDFD,fd,&si,WEXITED));R(po(k,0));R(waitid(P_PIDFD,0,&si,WEXITED));R(waitid(P_PIDFD,99,&si,WEXITED));R(waitid(P_PIDFD,-1,&si,WEXITED));
 R(po(0,0));R(po(-1,0));R(po(1<<30,0));R(po(getpid(),1));R(po(getpid(),O_CLOEXEC));int me;R((me=po(getpid(),O_NONBLOCK))>=0);P("%o\n",fcntl(me,F_GETFL));R(pl(me,0));R(waitid(P_PIDFD,me,&si,WEXITED));fdi(me);
 R(waitid(P_PIDFD,me,&si,WEXITED|WNOHANG));
 /* nonblocking: EAGAIN */
 k=fork();if(!k){msleep(100);_exit(7);}fd=po(k,O_NONBLOCK);R(waitid(P_PIDFD,fd,&si,WEXITED));R(pl(fd,1000));R(waitid(P_PIDFD,fd,&si,WEXITED));P("%d %d\n",si.si_code,si.si_status);
 /* leader exits first */
 int pp[2];pipe(pp);k=fork();if(!k){int t=thr(0,th);write(pp[1],&t,4);syscall(SYS_exit,5);}
 int t;read(pp[0],&t,4);msleep(100);fd=po(k,0);R(fd>=0);R(pl(fd,0));fdi(fd);R(po(t,0));R(ps(fd,0,0));R(waitid(P_PIDFD,fd,&si,WEXITED|WNOHANG));P("pid %d\n",si.si_pid);
 R(po(t,O_EXCL)>=0);
 R(ps(fd,9,0));R(pl(fd,1000));R(waitid(P_PIDFD,fd,&si,WEXITED));P("%d %d\n",si.si_code,si.si_status);
 /* SIGCHLD ignored: pidfd and wait */
 signal(SIGCHLD,SIG_IGN);k=fork();if(!k){msleep(30);_exit(3);}fd=po(k,0);R(pl(fd,1000));R(ps(fd,0,0));R(waitid(P_PIDFD,fd,&si,WEXITED));fdi(fd);
 k=fork();if(!k){msleep(30);_exit(3);}R(wait4(k,&st,0,0));
 /* /proc/self dir as pidfd */
 int d=open("/proc/self",O_RDONLY|O_DIRECTORY);R(ps(d,0,0));R(waitid(P_PIDFD,d,&si,WEXITED));R(pl(d,0));d=open("/proc",O_RDONLY|O_DIRECTORY);R(ps(d,0,0));d=open("/proc/self/task",O_RDONLY|O_DIRECTORY);R(ps(d,0,0));d=open("/proc/thread-self",O_RDONLY|O_DIRECTORY);R(ps(d,0,0));
 R(ps(-10000,0,0));R(ps(-10001,0,0));R(ps(-10002,0,0));R(ps(-100,0,0));
 R(syscall(438,me,0,0)>=0);R(syscall(438,me,77,0));R(syscall(438,me,0,1));
 struct f_owner{int a,b;};
 int e=epoll_create1(0);struct epoll_event ev={EPOLLIN|EPOLLET,{.u32=4}};signal(SIGCHLD,SIG_DFL);k=fork();if(!k){msleep(50);_exit(2);}fd=po(k,0);R(epoll_ctl(e,EPOLL_CTL_ADD,fd,&ev));R(epoll_wait(e,&ev,1,1000));P("%x\n",ev.events);R(epoll_wait(e,&ev,1,0));R(waitid(P_ALL,0,&si,WEXITED));R(epoll_wait(e,&ev,1,0));P("%x\n",ev.events);
 return 0;}
