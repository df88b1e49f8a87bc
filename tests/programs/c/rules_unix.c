// SPDX-License-Identifier: GPL-2.0-or-later
/* AF_UNIX: names, states, shutdown, errors */
#include "rules.h"
int s[2];char b[400000];
int main(){signal(SIGPIPE,SIG_IGN);int n;socklen_t l;
 for(int t=1;t<=5;t++){if(t==3||t==4)continue;P("type %d\n",t);R(socketpair(AF_UNIX,t|SOCK_NONBLOCK,0,s));
 R(send(s[0],"hello",5,0));R(send(s[0],"wor",3,0));R(ioctl(s[1],FIONREAD,&n));P("inq %d\n",n);R(ioctl(s[0],0x5411,&n)); 
 R(recv(s[1],b,2,MSG_PEEK));R(recv(s[1],b,2,MSG_PEEK|MSG_TRUNC));R(recv(s[1],b,3,MSG_TRUNC));R(recv(s[1],b,100,0));R(recv(s[1],b,100,0));
 R(send(s[0],"",0,0));R(recv(s[1],b,10,0));R(recv(s[1],b,0,0));R(recv(s[1],b,1,0));
 int c=0;while((n=send(s[0],b,1000,0))>0)c+=n;P("filled %d %s\n",c>0,strerror(errno));struct pollfd f[2]={{s[0],-1},{s[1],-1}};R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);
 while((n=recv(s[1],b,400000,0))>0);R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);
 R(send(s[0],b,300000,0)>100000);R(recv(s[1],b,400000,0)>100000);while((n=recv(s[1],b,400000,0))>0);
 R(shutdown(s[0],9));R(shutdown(s[0],SHUT_RD));R(recv(s[0],b,1,0));R(send(s[1],"x",1,0));R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);R(shutdown(s[0],SHUT_WR));R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);R(send(s[0],"x",1,0));R(recv(s[1],b,1,0));
 close(s[0]);R(poll(f+1,1,0));P("%x\n",f[1].revents);R(send(s[1],"x",1,0));R(recv(s[1],b,1,0));close(s[1]);
 socketpair(AF_UNIX,t|SOCK_NONBLOCK,0,s);send(s[0],"abc",3,0);close(s[1]);R(poll(f,1,0));f[0].fd=s[0];R(poll(f,1,0));P("%x\n",f[0].revents);R(recv(s[0],b,1,0));R(recv(s[0],b,1,0));R(send(s[0],"q",1,0));l=4;R(getsockopt(s[0],1,SO_ERROR,&n,&l));P("err %d\n",n);close(s[0]);
 socketpair(AF_UNIX,t|SOCK_NONBLOCK,0,s);send(s[0],"abc",3,0);send(s[1],"xyz",3,0);close(s[1]);R(recv(s[0],b,10,0));R(recv(s[0],b,10,0));R(recv(s[0],b,10,0));close(s[0]);
 int q=socket(AF_UNIX,t|SOCK_NONBLOCK,0);R(send(q,"x",1,0));R(recv(q,b,1,0));R(listen(q,1));R(accept(q,0,0));f[0].fd=q;R(poll(f,1,0));P("%x\n",f[0].revents);
 struct sockaddr_un a={AF_UNIX},o;memcpy(a.sun_path,"\0rev6x",6);a.sun_path[6]='0'+t;R(bind(q,(void*)&a,2+7));R(bind(q,(void*)&a,2+7));l=sizeof o;memset(&o,0,sizeof o);R(getsockname(q,(void*)&o,&l));P("len %d %s\n",l,o.sun_path+1);l=sizeof o;R(getpeername(q,(void*)&o,&l));
 int q2=socket(AF_UNIX,t|SOCK_NONBLOCK,0);R(bind(q2,(void*)&a,9));R(connect(q2,(void*)&a,9));R(listen(q,0));R(connect(q2,(void*)&a,9));R(connect(q2,(void*)&a,9));int q3=socket(AF_UNIX,t|SOCK_NONBLOCK,0),q4=socket(AF_UNIX,t|SOCK_NONBLOCK,0);R(connect(q3,(void*)&a,9));R(connect(q4,(void*)&a,9));
 f[0].fd=q;R(poll(f,1,0));P("%x\n",f[0].revents);R(send(q2,"hi",2,0));l=sizeof o;int ac=-1;R((ac=accept4(q,(void*)&o,&l,SOCK_NONBLOCK))>=0);if(ac>=0){P("len %d\n",l);R(recv(ac,b,9,0));l=sizeof o;R(getsockname(ac,(void*)&o,&l));P("l %d\n",l);l=sizeof o;R(getpeername(q2,(void*)&o,&l));P("l %d\n",l);l=sizeof o;R(getpeername(ac,(void*)&o,&l));P("l %d\n",l);}
 struct sockaddr un={AF_UNSPEC};R(connect(q2,&un,2));R(send(q2,"hi",2,0));close(q);R(send(q2,"hi",2,0));R(send(q4,"hi",2,0));R(recv(q4,b,2,0));R(connect(q4,(void*)&a,9));
 close(q2);close(q3);close(q4);close(ac);
 q=socket(AF_UNIX,t,0);sa_family_t fam=AF_UNIX;R(bind(q,(void*)&fam,2));l=sizeof o;R(getsockname(q,(void*)&o,&l));P("auto len %d\n",l);R(bind(q,(void*)&fam,1));R(bind(q,(void*)&a,200));R(bind(q,(void*)&a,111));R(connect(q,(void*)&a,1));R(connect(q,(void*)&fam,2));strcpy(a.sun_path,"/nonexist/x");R(connect(q,(void*)&a,50));strcpy(a.sun_path,"/etc/passwd");R(connect(q,(void*)&a,50));R(bind(q,(void*)&a,50));close(q);
 q=socket(AF_UNIX,t,0);R(bind(q,(void*)&a,50));strcpy(a.sun_path,"/nonexist/x");R(bind(q,(void*)&a,50));R(sendto(q,"x",1,0,(void*)&a,50));close(q);
 }
 R(socket(AF_UNIX,3,0)>0);R(socket(AF_UNIX,4,0));R(socket(AF_UNIX,11,0));R(socket(AF_UNIX,1,2));R(socket(AF_UNIX,1,1)>0);R(socket(AF_UNIX,1|0x100,0));R(socketpair(AF_UNIX,1,0,(int*)1));
}
