// SPDX-License-Identifier: GPL-2.0-or-later
/* epoll: edges, one shot, nested, exclusive, closed */
#include "rules.h"
int e,p[2];struct epoll_event ev[8];
void ws(const char*w){int n=epoll_wait(e,ev,8,0);P("%s: %d",w,n);if(n<0)P(" %s",strerror(errno));for(int i=0;i<n;i++)P(" [%x %d]",ev[i].events,ev[i].data.u32);P("\n");}
int add(int fd,int x,int d,int op){struct epoll_event v={.events=x,.data.u32=d};int r=epoll_ctl(e,op,fd,&v);P("ctl %d %x = %d %s\n",op,x,r,r?strerror(errno):"");return r;}
int main(){signal(SIGPIPE,SIG_IGN);char b[70000];
 R(epoll_create(0)>0);R(epoll_create1(1)>0);R((e=epoll_create(1))>0);pipe2(p,O_NONBLOCK);ws("empty");
 R(epoll_wait(e,ev,0,0));R(epoll_wait(e,ev,-1,0));R(epoll_wait(e,(void*)1,1,0));R(epoll_wait(p[0],ev,1,0));R(epoll_wait(999,ev,1,0));R(epoll_wait(e,ev,INT_MAX/12,0));R(epoll_wait(e,ev,INT_MAX/12+1,0));
 add(p[0],EPOLLIN|EPOLLET,1,1);add(p[0],EPOLLIN,1,1);add(e,EPOLLIN,1,1);add(999,EPOLLIN,1,1);add(p[0],EPOLLIN,1,9);add(p[1],EPOLLIN,1,2);add(p[1],EPOLLIN,1,3);
 int d=open("/proc/self/exe",0);add(d,EPOLLIN,1,1);R(epoll_ctl(e,1,p[1],0));R(epoll_ctl(e,2,p[0],0));R(epoll_ctl(p[0],1,p[1],ev));
 add(p[0],EPOLLIN|EPOLLET,1,1);
 write(p[1],"a",1);ws("et1");ws("et2");write(p[1],"b",1);ws("et3 (more data)");read(p[0],b,1);ws("et4");write(p[1],"c",1);ws("et5");read(p[0],b,10);write(p[1],"c",1);ws("et6");
 add(p[0],EPOLLIN|EPOLLET,1,3);ws("mod");ws("mod2");
 add(p[0],EPOLLIN|EPOLLONESHOT,2,3);ws("os1");ws("os2");write(p[1],"c",1);ws("os3");add(p[0],EPOLLIN|EPOLLONESHOT,3,3);ws("os4");ws("os5");
 add(p[0],0,4,3);ws("none");close(p[1]);ws("hup");pipe2(p,O_NONBLOCK);
 e=epoll_create1(0);add(p[1],EPOLLOUT|EPOLLET,1,1);ws("out1");ws("out2");while(write(p[1],b,4096)>0);ws("full");read(p[0],b,100);ws("partly");read(p[0],b,4096);ws("room");ws("room2");read(p[0],b,9000);ws("more");
 add(p[0],EPOLLIN,2,1);ws("both");ws("both");read(p[0],b,70000);ws("drained");
 close(p[0]);ws("closed rd");ws("again");
 /* nested */
 e=epoll_create1(0);int e1=e,e2=epoll_create1(0);pipe2(p,O_NONBLOCK);e=e2;add(p[0],EPOLLIN,7,1);e=e1;add(e2,EPOLLIN,8,1);ws("nest0");write(p[1],"x",1);ws("nest1");ws("nest1b");struct pollfd pf={e1,POLLIN|POLLOUT};R(poll(&pf,1,0));P("%x\n",pf.revents);
 e=e2;add(e1,EPOLLIN,9,1);e=e1;add(e2,EPOLLIN|EPOLLET,8,3);ws("nest et");ws("nest et2");write(p[1],"y",1);ws("nest et3");read(p[0],b,10);ws("drained");write(p[1],"z",1);ws("again");
 int c=e1;for(int i=0;i<8;i++){int q=epoll_create1(0);struct epoll_event v={EPOLLIN};int r=epoll_ctl(q,1,c,&v);P("depth %d %d %s\n",i,r,r?strerror(errno):"");c=q;}
 /* exclusive */
 e=epoll_create1(0);add(p[0],EPOLLIN|EPOLLEXCLUSIVE,1,1);add(p[0],EPOLLIN|EPOLLEXCLUSIVE,1,3);add(p[0],EPOLLIN,1,3);add(p[1],EPOLLOUT|EPOLLEXCLUSIVE|EPOLLONESHOT,1,1);add(p[1],EPOLLOUT|EPOLLEXCLUSIVE|EPOLLRDHUP,1,1);add(p[1],EPOLLOUT|EPOLLEXCLUSIVE|EPOLLPRI,1,1);add(p[1],EPOLLOUT,1,1);add(p[1],EPOLLOUT|EPOLLEXCLUSIVE,1,3);add(e2,EPOLLIN|EPOLLEXCLUSIVE,1,1);ws("x");
 /* dup + close */
 e=epoll_create1(0);int f=dup(p[0]);add(f,EPOLLIN,5,1);close(f);ws("dup closed");R(epoll_ctl(e,2,f,0));add(p[0],EPOLLIN,6,1);ws("both");close(p[0]);ws("all closed");
 int sv[2];socketpair(AF_UNIX,SOCK_STREAM,0,sv);e=epoll_create1(0);add(sv[0],EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET,1,1);ws("s0");ws("s1");write(sv[1],"a",1);ws("s2");shutdown(sv[1],SHUT_WR);ws("s3");read(sv[0],b,9);ws("s3b");shutdown(sv[0],SHUT_WR);ws("s4");close(sv[1]);ws("s5");ws("s6");
 int ef=eventfd(0,EFD_NONBLOCK);uint64_t u=1;e=epoll_create1(0);add(ef,EPOLLIN|EPOLLET,1,1);ws("e0");write(ef,&u,8);ws("e1");write(ef,&u,8);ws("e2");read(ef,&u,8);P("%ld\n",u);ws("e3");add(ef,EPOLLOUT|EPOLLIN|EPOLLET,1,3);ws("e4");read(ef,&u,8);ws("e5");u=1;write(ef,&u,8);ws("e6");read(ef,&u,8);ws("e7");
 struct stat st;fstat(e,&st);P("%o %ld\n",st.st_mode,st.st_size);char l[99];sprintf(b,"/proc/self/fd/%d",e);int n=readlink(b,l,99);P("%.*s\n",n,l);R(read(e,b,1));R(write(e,b,1));R(lseek(e,0,0));
}
