// SPDX-License-Identifier: GPL-2.0-or-later
/* Flags of preadv2 and pwritev2, and what is told before them; bad parts of an iovec; seeking and fallocate where there is none */
#include "rules.h"
#include <linux/falloc.h>
static char b[8192];
static void onp(int s){P(" SIGPIPE\n");}
int main(){struct iovec v={b,100};int p[2],s[2],d;signal(SIGPIPE,onp);memset(b,'z',sizeof b);
 for(int shm=0;shm<2;shm++){int fd=shm?memfd_create("f",0):open("/tmp",O_TMPFILE|O_RDWR,0600);pwrite(fd,b,5000,0);
  for(int f=1;f<1<<13;f<<=1){if(f==0x80||f==8)continue;P("flag %x\n",f);R(preadv2(fd,&v,1,0,f));R(pwritev2(fd,&v,1,50,f));R(pwritev2(fd,&v,1,-1,f));R(lseek(fd,0,SEEK_CUR));R(lseek(fd,0,SEEK_END));lseek(fd,100,0);}
  R(pwritev2(fd,&v,1,0,0x30));R(pwritev2(fd,&v,0,0,0x30));R(preadv2(fd,&v,0,0,1<<20));R(preadv2(fd,&v,1,-2,1<<20));R(preadv2(fd,(void*)8,1,0,1<<20));R(preadv2(fd,&v,1,LLONG_MAX,1<<20));R(preadv2(fd,&v,1025,0,1<<20));
  char*m=mmap(0,8192,3,MAP_PRIVATE|MAP_ANONYMOUS,-1,0);munmap(m+4096,4096);
  struct iovec w[3]={{b,100},{(void*)8,50},{b,30}},x[3]={{m+4000,200},{b,10},{b,10}};
  R(pwritev(fd,w,3,4090));R(preadv(fd,w,3,4090));R(pwritev(fd,x,3,0));R(preadv(fd,x,3,0));x[0].iov_len=96;x[1].iov_base=m+4096;R(pwritev(fd,x,3,4090));R(preadv(fd,x,3,4090));R(lseek(fd,0,SEEK_END));
  for(int i=0;i<10;i++){R(fallocate(fd,1<<i,0,0));R(fallocate(fd,1<<i,LLONG_MAX,1));if(1<<i!=8&&1<<i!=32)R(fallocate(fd,1<<i|1,LLONG_MAX-5,5));}}
 int ro=open("/proc/self/exe",O_RDONLY),wo=open("/dev/null",O_WRONLY),op=open("/tmp",O_PATH),dir=open("/tmp",O_RDONLY);
 R(pwritev2(ro,&v,1,0,1<<20));R(preadv2(wo,&v,1,0,1<<20));R(preadv2(op,&v,1,0,1<<20));R(preadv2(dir,&v,1,0,1<<20));R(preadv2(-1,&v,1,0,1<<20));
 pipe(p);socketpair(AF_UNIX,SOCK_STREAM,0,s);v.iov_len=3;
 R(pwritev2(p[1],&v,1,-1,0x100));R(pwritev2(p[1],&v,1,0,0x100));R(pwritev2(p[1],&v,1,0,1<<20));R(pwritev2(s[1],&v,1,-1,0x100));R(preadv2(p[0],&v,1,-1,0x100));
 close(p[0]);close(s[0]);R(pwritev2(p[1],&v,1,-1,0));R(pwritev2(p[1],&v,1,-1,0x100));R(pwritev2(s[1],&v,1,-1,0));R(pwritev2(s[1],&v,1,-1,0x100));
 R(fallocate(p[1],128,0,1));R(fallocate(wo,128,0,1));R(fallocate(dir,128,0,1));R(fallocate(ro,128,0,1));
 char*n[]={"environ","auxv","cmdline","oom_adj","oom_score_adj","oom_score","comm","maps","smaps","status","limits","stat","statm","pagemap","mem","clear_refs","mounts","personality"};
 for(int i=0;i<18;i++){char f[50];sprintf(f,"/proc/self/%s",n[i]);d=open(f,strcmp(n[i],"clear_refs")?O_RDONLY:O_WRONLY);P("%s\n",f);for(int w=0;w<6;w++)R(lseek(d,4,w));R(lseek(d,-4,2));R(lseek(d,1l<<31,0));R(read(d,b,1)>=0);R(ioctl(d,0,0));close(d);}
 struct stat st;stat("/proc/self/fd",&st);P("%ld descriptors\n",(long)st.st_size);d=open("/proc/self/fd",O_RDONLY);fstat(d,&st);P("%ld descriptors\n",(long)st.st_size);stat("/proc/self/fdinfo",&st);P("%ld\n",(long)st.st_size);
}
