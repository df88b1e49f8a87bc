// SPDX-License-Identifier: GPL-2.0-or-later
/* What fdinfo says of eventfds and epoll files */
#include "rules.h"
static void fdi(int fd){char q[60],b[300];sprintf(q,"/proc/self/fdinfo/%d",fd);FILE*f=fopen(q,"r");while(fgets(b,300,f)){if(!strncmp(b,"mnt",3)||!strncmp(b,"ino",3)||strstr(b,"eventfd-id"))continue;char*z=strstr(b," ino");if(z)strcpy(z,"\n");P("%s",b);}fclose(f);}
int main(){int e=eventfd(3,0),s=eventfd(0,EFD_SEMAPHORE),ep=epoll_create1(0),p[2];pipe(p);FILE*t=tmpfile();fdi(e);fdi(s);fdi(ep);
 struct epoll_event ev={EPOLLIN,{.u64=0x123456789abc}};R(epoll_ctl(ep,EPOLL_CTL_ADD,e,&ev));fdi(ep);ev.events=EPOLLIN|EPOLLET|EPOLLONESHOT;ev.data.u64=-1;R(epoll_ctl(ep,EPOLL_CTL_MOD,e,&ev));fdi(ep);R(epoll_wait(ep,&ev,1,0));fdi(ep);
 ev.events=EPOLLOUT|EPOLLEXCLUSIVE;R(epoll_ctl(ep,EPOLL_CTL_DEL,e,0));fdi(ep);R(epoll_ctl(ep,EPOLL_CTL_ADD,p[1],&ev));fdi(ep);int d=dup(p[1]);close(p[1]);fdi(ep);close(d);fdi(ep);
 ev.events=0;ev.data.u64=1;R(epoll_ctl(ep,EPOLL_CTL_ADD,p[0],&ev));fdi(ep);return 0;}
