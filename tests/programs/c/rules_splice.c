// SPDX-License-Identifier: GPL-2.0-or-later
/* splice, sendfile, copy_file_range: what is copied from pages that the copy changes, limits, /dev/zero */
#include "rules.h"
#include <sys/sendfile.h>
static char b[1<<16];
static void sum(int fd){unsigned h=5381;long n=pread(fd,b,sizeof b,0);for(long i=0;i<n;i++)h=h*33+(unsigned char)b[i];P(" %ld bytes, sum %x\n",n,h);}
static void fill(int fd){for(int i=0;i<8192;i++)b[i]='a'+(i>>7)%26+(i>>12)*3;pwrite(fd,b,4096,0);pwrite(fd,b+4096,4096,4096);ftruncate(fd,8192);}
static void onx(int s,siginfo_t*i,void*u){P(" SIGXFSZ code %d\n",i->si_code);}
static int file(int shm){int fd=shm?memfd_create("f",0):open("/tmp",O_TMPFILE|O_RDWR,0600);fill(fd);return fd;}
int main(){
 struct sigaction sa={.sa_sigaction=onx,.sa_flags=SA_SIGINFO};sigaction(SIGXFSZ,&sa,0);signal(SIGPIPE,SIG_IGN);
 int zero=open("/dev/zero",O_RDWR),full=open("/dev/full",O_RDWR),null=open("/dev/null",O_RDWR),mem=open("/proc/self/mem",O_RDONLY);
 {int st=open("/proc/sys/kernel/ostype",0),cm=open("/proc/self/comm",O_RDWR),out=memfd_create("o",0),p[2];pipe2(p,O_NONBLOCK);
  R(sendfile(out,st,0,100));sum(out);lseek(st,0,0);R(splice(st,0,p[1],0,100,0));R(splice(st,0,p[1],0,100,0));R(read(p[0],b,100));R(sendfile(out,cm,0,100));R(sendfile(cm,out,&(off_t){0},3));R(splice(cm,0,p[1],0,100,0));R(copy_file_range(st,&(loff_t){0},out,0,10,0));}
 {int p[2];pipe2(p,O_NONBLOCK);char*n[]={"meminfo","version","stat","self/mounts","self/mountinfo","self/maps","self/status","self/stat","self/auxv","self/oom_score_adj","vmstat","swaps","sysvipc/shm","self/pagemap"};
  for(int i=0;i<14;i++){char f[40];sprintf(f,"/proc/%s",n[i]);int fd=open(f,O_RDONLY);P("%s\n",f);R(splice(fd,0,p[1],0,5,0));R(read(p[0],b,10));R(sendfile(p[1],fd,0,5));R(read(p[0],b,100));close(fd);}}
 for(int shm=0;shm<2;shm++){int fd=file(shm),g=file(shm),p[2],n;loff_t o,u;pipe2(p,O_NONBLOCK);
  char*m=mmap(0,8192,3,MAP_SHARED,fd,0);struct iovec v={m,8192};
  /* a file's own pages, moved up in it: what is overwritten on the way is written twice */
  R(vmsplice(p[1],&v,1,0));o=4000;R(splice(p[0],0,fd,&o,8192,0));sum(fd);
  fill(fd);o=0;R(splice(fd,&o,p[1],0,8192,0));o=4096;R(splice(p[0],0,fd,&o,8192,0));sum(fd);
  fill(fd);o=0;lseek(fd,4000,0);R(sendfile(fd,fd,&o,8192));P("%ld %ld\n",(long)o,(long)lseek(fd,0,1));sum(fd);
  fill(fd);o=0;u=8000;R(copy_file_range(fd,&o,g,&u,100000,0));P("%ld %ld\n",(long)o,(long)u);sum(g);
  /* then the pages change, or go */
  fill(fd);o=0;R(splice(fd,&o,p[1],0,8192,0));pwrite(fd,"changed",7,10);ftruncate(fd,4096);R(read(p[0],b,8192));P("%.20s %d\n",b,b[5000]);
  fill(fd);o=0;R(splice(fd,&o,p[1],0,8192,0));R(fallocate(fd,3,0,4096));R(read(p[0],b,8192));P("%d %d\n",b[0],b[5000]);
  /* positions and counts */
  fill(fd);R(splice(fd,0,p[1],0,-1,0));R(splice(p[0],0,fd,0,-1,0));o=LLONG_MAX;R(splice(fd,&o,p[1],0,10,0));o=LLONG_MAX-10;R(splice(fd,&o,p[1],0,10,0));R(splice(fd,&o,p[1],0,11,0));
  write(p[1],"abc",3);o=LLONG_MAX;R(splice(p[0],0,fd,&o,3,0));R(splice(p[0],0,fd,&o,0,0));R(read(p[0],b,10));
  o=-1;R(sendfile(g,fd,&o,10));o=LLONG_MAX;R(sendfile(g,fd,&o,10));R(sendfile(g,fd,0,-1));o=1l<<43;R(sendfile(g,fd,&o,10));
  o=(long)b;R(sendfile(g,mem,&o,10));o=0x7fffffff;R(sendfile(g,mem,&o,10));o=0x7ffffffe;R(sendfile(g,mem,&o,10));o=0;R(sendfile(p[1],mem,&o,10));
  /* devices */
  int dev[]={zero,full,null,open("/dev/urandom",O_RDWR)};for(int i=0;i<4;i++){P("device %d\n",i);fill(g);o=0;R(sendfile(g,dev[i],&o,100000));P("%ld\n",(long)o);o=0;R(sendfile(dev[i],fd,&o,100));R(splice(dev[i],0,p[1],0,100,0));R(splice(p[0],0,dev[i],0,50,0));R(read(p[0],b,100));R(copy_file_range(dev[i],0,g,0,10,0));R(splice(dev[i],&o,p[1],0,10,0));P("%ld\n",(long)o);R(read(p[0],b,100));}
  /* RLIMIT_FSIZE */
  fill(fd);struct rlimit rl={10000,RLIM_INFINITY};setrlimit(RLIMIT_FSIZE,&rl);ftruncate(g,0);
  o=0;lseek(g,9990,0);R(sendfile(g,fd,&o,100));R(lseek(g,0,1));R(sendfile(g,fd,&o,100));P("%ld\n",(long)o);
  o=0;u=9000;R(copy_file_range(fd,&o,g,&u,5000,0));R(copy_file_range(fd,&o,g,&u,5000,0));
  write(p[1],b,1000);u=9900;R(splice(p[0],0,g,&u,1000,0));R(splice(p[0],0,g,&u,1000,0));R(ioctl(p[0],FIONREAD,&n));P("%d left\n",n);
  rl.rlim_cur=RLIM_INFINITY;setrlimit(RLIMIT_FSIZE,&rl);
  close(p[0]);R(sendfile(p[1],fd,0,10));R(splice(fd,0,p[1],0,10,0));
 }
}
