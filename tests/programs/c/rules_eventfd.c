// SPDX-License-Identifier: GPL-2.0-or-later
/* eventfd */
#include "rules.h"
int main(){int e=eventfd(5,EFD_NONBLOCK);uint64_t u;char b[99];
 R(eventfd(0,8));R(read(e,&u,4));R(read(e,b,16));P("%ld\n",*(long*)b);R(read(e,&u,8));u=-1;R(write(e,&u,8));u=-2;R(write(e,&u,8));u=1;R(write(e,&u,8));R(write(e,&u,4));R(write(e,b,16));
 struct pollfd f={e,-1};R(poll(&f,1,0));P("%x\n",f.revents);R(read(e,&u,8));P("%lx\n",u);R(poll(&f,1,0));P("%x\n",f.revents);u=0;R(write(e,&u,8));R(read(e,&u,8));
 e=eventfd(3,EFD_NONBLOCK|EFD_SEMAPHORE);for(int i=0;i<4;i++){R(read(e,&u,8));P("%ld\n",u);}
 R(read(e,(void*)1,8));R(write(e,(void*)1,8));u=2;write(e,&u,8);R(read(e,(void*)1,8));R(read(e,&u,8));
 R(lseek(e,0,0));R(pread(e,&u,8,0));R(pwrite(e,&u,8,0));struct iovec v[2]={{b,4},{b+8,4}};u=3;write(e,&u,8);R(readv(e,v,2));R(writev(e,v,2));v[0].iov_len=8;R(writev(e,v,1));
 int n=open("/proc/self/fd",O_DIRECTORY);sprintf(b,"/proc/self/fd/%d",e);char l[99];n=readlink(b,l,99);P("%.*s\n",n,l);R(open(b,O_RDWR));
 struct stat st;fstat(e,&st);P("%o\n",st.st_mode);
 R(SY(SYS_ftruncate,e,0));R(fsync(e));R(mmap(0,4096,1,1,e,0)==MAP_FAILED);P("%s\n",strerror(errno));R(fcntl(e,F_GETFL));
}
