// SPDX-License-Identifier: GPL-2.0-or-later
/* Who is woken: readers of a pipe, waiters of epoll, of a child */
#include "rules.h"
/* exclusive wakeups / ordering between processes on pipe, futex, epoll, wait; exit codes */
int main(){int p[2],q[2];pipe(p);pipe(q);int st;char c;
 pid_t k[3];for(int i=0;i<3;i++){k[i]=fork();if(!k[i]){int n=read(p[0],&c,1);char o='0'+i;write(q[1],&o,1);_exit(n);}msleep(20);}
 for(int i=0;i<3;i++){write(p[1],"x",1);read(q[0],&c,1);P("reader %c\n",c);}for(int i=0;i<3;i++)waitpid(k[i],0,0);
 for(int i=0;i<3;i++){k[i]=fork();if(!k[i]){int n=read(p[0],&c,1);char o='0'+i;write(q[1],&o,1);_exit(n);}msleep(20);}
 write(p[1],"abc",3);int seen=0;for(int i=0;i<3;i++){read(q[0],&c,1);seen+=c;}P("sum %d\n",seen);for(int i=0;i<3;i++)waitpid(k[i],0,0);
 int e=epoll_create1(0);struct epoll_event ev={EPOLLIN};epoll_ctl(e,1,p[0],&ev);for(int i=0;i<3;i++){k[i]=fork();if(!k[i]){int n=epoll_wait(e,&ev,1,300);char o='0'+i;P("epoll child woken %d\n",n);_exit(n);}msleep(20);}
 write(p[1],"a",1);msleep(50);read(p[0],&c,1);for(int i=0;i<3;i++){waitpid(k[i],&st,0);}
 /* write blocks when full, atomic */
 int w=fork();if(!w){char b[65536+100];memset(b,7,sizeof b);R(write(p[1],b,sizeof b));_exit(0);}msleep(20);int n=0;ioctl(p[0],0x541B,&n);P("full %d\n",n);char b[70000];R(read(p[0],b,4096));msleep(20);ioctl(p[0],0x541B,&n);P("n %d\n",n);R(read(p[0],b,70000));waitpid(w,0,0);
 /* SIGPIPE status, EPIPE partial */
 w=fork();if(!w){close(p[0]);write(p[1],b,70000);_exit(0);}close(p[0]);waitpid(w,&st,0);P("%x\n",st);
 /* socketpair blocking + shutdown wake */
 int sv[2];socketpair(AF_UNIX,SOCK_STREAM,0,sv);w=fork();if(!w){R(read(sv[1],&c,1));R(write(sv[1],"x",1));_exit(0);}msleep(20);shutdown(sv[0],SHUT_RDWR);waitpid(w,&st,0);P("%x\n",st);
 /* unix connect blocks w/ backlog, accept */
 struct sockaddr_un a={AF_UNIX};memcpy(a.sun_path,"\0rev6e",6);int l=socket(AF_UNIX,1,0);bind(l,(void*)&a,8);listen(l,0);w=fork();if(!w){int s[3];for(int i=0;i<3;i++){s[i]=socket(AF_UNIX,1,0);connect(s[i],(void*)&a,8);}write(s[2],"k",1);_exit(0);}for(int i=0;i<3;i++){msleep(20);int x=accept(l,0,0);if(i==2){R(read(x,&c,1));}struct ucred u;socklen_t ln=12;getsockopt(x,1,SO_PEERCRED,&u,&ln);P("peer ok %d\n",u.pid==w);}waitpid(w,0,0);
 /* wait for any: order of zombies */
 for(int i=0;i<3;i++){k[i]=fork();if(!k[i])_exit(i);}msleep(30);for(int i=0;i<3;i++){pid_t r=waitpid(-1,&st,0);P("%d %x\n",r==k[i],st);}
 /* reverse exit order */
 for(int i=0;i<3;i++){k[i]=fork();if(!k[i]){msleep(60-20*i);_exit(i);}}for(int i=0;i<3;i++){pid_t r=waitpid(-1,&st,0);P("%x\n",st);}
 struct timespec t0,t1;clock_gettime(1,&t0);msleep(30);clock_gettime(1,&t1);long d=(t1.tv_sec-t0.tv_sec)*1000+(t1.tv_nsec-t0.tv_nsec)/1000000;P("slept %d\n",d>=30&&d<60);
 _exit(0x1ff);}
