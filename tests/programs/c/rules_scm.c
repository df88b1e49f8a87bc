// SPDX-License-Identifier: GPL-2.0-or-later
/* SCM_RIGHTS and SCM_CREDENTIALS */
#include "rules.h"
int s[2];char b[4000];
int sendfds(int k,int*fd,int n,int cred,int pid){struct iovec v={"x",1};char c[2048];memset(c,0,sizeof c);struct msghdr m={.msg_iov=&v,.msg_iovlen=1,.msg_control=c};struct cmsghdr*h=(void*)c;int len=0;
 if(n){h->cmsg_level=SOL_SOCKET;h->cmsg_type=SCM_RIGHTS;h->cmsg_len=CMSG_LEN(4*n);memcpy(CMSG_DATA(h),fd,4*n);len+=CMSG_SPACE(4*n);}
 if(cred){h=(void*)(c+len);h->cmsg_level=SOL_SOCKET;h->cmsg_type=SCM_CREDENTIALS;h->cmsg_len=CMSG_LEN(12);struct ucred u={pid,getuid(),getgid()};memcpy(CMSG_DATA(h),&u,12);len+=CMSG_SPACE(12);}
 m.msg_controllen=len;return sendmsg(k,&m,0);}
void rcv(int k,int room,int fl){struct iovec v={b,100};char c[2048];memset(c,0x77,sizeof c);struct msghdr m={.msg_iov=&v,.msg_iovlen=1,.msg_control=c,.msg_controllen=room};errno=0;int r=recvmsg(k,&m,fl);P("recv %d %s flags %x clen %zu:",r,r<0?strerror(errno):"",m.msg_flags,(size_t)m.msg_controllen);if(r>=0)for(struct cmsghdr*h=CMSG_FIRSTHDR(&m);h;h=CMSG_NXTHDR(&m,h)){P(" [%d len %zu",h->cmsg_type,(size_t)h->cmsg_len);if(h->cmsg_type==SCM_RIGHTS){int n=(h->cmsg_len-16)/4;for(int i=0;i<n&&i<4;i++){int f=((int*)CMSG_DATA(h))[i];P(" %s%s",f>=0?"fd":"bad",fcntl(f,F_GETFD)?"C":"");close(f);}}else{struct ucred*u=(void*)CMSG_DATA(h);P(" pid %d uid %d",u->pid==getpid(),u->uid);}P("]");}P("\n");}
int main(){for(int t=1;t<=5;t++){if(t==3||t==4)continue;P("type %d\n",t);socketpair(AF_UNIX,t|SOCK_NONBLOCK,0,s);int f[300];for(int i=0;i<300;i++)f[i]=1;
 R(sendfds(s[0],f,1,0,0));rcv(s[1],200,0);R(sendfds(s[0],f,3,0,0));rcv(s[1],CMSG_LEN(8),MSG_CMSG_CLOEXEC);R(sendfds(s[0],f,3,0,0));rcv(s[1],CMSG_LEN(4),0);R(sendfds(s[0],f,3,0,0));rcv(s[1],16,0);R(sendfds(s[0],f,3,0,0));rcv(s[1],19,0);R(sendfds(s[0],f,3,0,0));rcv(s[1],0,0);R(sendfds(s[0],f,2,0,0));rcv(s[1],23,0);R(sendfds(s[0],f,2,0,0));rcv(s[1],10,0);
 R(sendfds(s[0],f,253,0,0));rcv(s[1],2000,0);R(sendfds(s[0],f,254,0,0));f[0]=-1;R(sendfds(s[0],f,1,0,0));f[0]=999;R(sendfds(s[0],f,1,0,0));f[0]=1;
 R(sendfds(s[0],f,2,0,0));rcv(s[1],200,MSG_PEEK);rcv(s[1],200,0);
 R(sendfds(s[0],f,1,0,0));R(send(s[0],"yy",2,0));R(sendfds(s[0],f,1,0,0));rcv(s[1],200,0);rcv(s[1],200,0);rcv(s[1],200,0);
 R(send(s[0],"yy",2,0));R(sendfds(s[0],f,1,0,0));R(send(s[0],"zz",2,0));rcv(s[1],200,0);rcv(s[1],200,0);rcv(s[1],200,0);
 R(sendfds(s[0],0,0,1,getpid()));rcv(s[1],200,0);R(sendfds(s[0],0,0,1,1));rcv(s[1],200,0);R(sendfds(s[0],0,0,1,999999));
 int one=1;R(setsockopt(s[1],1,SO_PASSCRED,&one,4));R(sendfds(s[0],0,0,1,getpid()));rcv(s[1],200,0);R(sendfds(s[0],f,1,1,1));rcv(s[1],200,0);R(send(s[0],"q",1,0));rcv(s[1],200,0);R(send(s[0],"q",1,0));rcv(s[1],20,0);R(sendfds(s[0],f,1,0,0));rcv(s[1],CMSG_SPACE(12),0);R(sendfds(s[0],f,1,0,0));rcv(s[1],CMSG_SPACE(12)+16,0);R(sendfds(s[0],f,1,0,0));rcv(s[1],CMSG_SPACE(12)+CMSG_LEN(4),0);
 R(send(s[0],"a",1,0));pid_t k=fork();if(!k){send(s[0],"b",1,0);_exit(0);}waitpid(k,0,0);rcv(s[1],200,0);rcv(s[1],200,0);
 struct ucred u;socklen_t l=12;R(getsockopt(s[0],1,SO_PEERCRED,&u,&l));P("%d %d\n",u.pid==getpid(),l);l=5;R(getsockopt(s[0],1,SO_PEERCRED,&u,&l));P("%d\n",l);
 /* bad cmsg */
 struct iovec v={"x",1};char c[64]={0};struct msghdr m={.msg_iov=&v,.msg_iovlen=1,.msg_control=c,.msg_controllen=24};struct cmsghdr*h=(void*)c;h->cmsg_len=8;h->cmsg_level=1;h->cmsg_type=1;R(sendmsg(s[0],&m,0));h->cmsg_len=100;R(sendmsg(s[0],&m,0));h->cmsg_len=20;h->cmsg_type=9;R(sendmsg(s[0],&m,0));h->cmsg_level=77;R(sendmsg(s[0],&m,0));h->cmsg_level=1;h->cmsg_type=1;h->cmsg_len=16;R(sendmsg(s[0],&m,0));h->cmsg_type=2;R(sendmsg(s[0],&m,0));m.msg_controllen=8;R(sendmsg(s[0],&m,0));m.msg_controllen=16;h->cmsg_len=24;R(sendmsg(s[0],&m,0));m.msg_iovlen=1025;R(sendmsg(s[0],&m,0));m.msg_iovlen=0;m.msg_controllen=0;R(sendmsg(s[0],&m,0));
 rcv(s[1],0,0);rcv(s[1],0,0);rcv(s[1],0,0);rcv(s[1],0,0);rcv(s[1],0,0);
 close(s[0]);close(s[1]);}
 /* fd passed in flight survives close; socket queue pass itself */
 int p[2];pipe(p);socketpair(AF_UNIX,1,0,s);R(sendfds(s[0],p,1,0,0));close(p[0]);R(write(p[1],"zz",2));{struct iovec v={b,1};char c[100];struct msghdr m={.msg_iov=&v,.msg_iovlen=1,.msg_control=c,.msg_controllen=100};recvmsg(s[1],&m,0);int f=*(int*)CMSG_DATA(CMSG_FIRSTHDR(&m));R(read(f,b,10));P("lowest %d\n",f==p[0]);}
}
