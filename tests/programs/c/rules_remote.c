// SPDX-License-Identifier: GPL-2.0-or-later
/* process_vm_readv, process_vm_writev, /proc/PID/mem, also of the dead */
#include "rules.h"
static char*pg(int n,int pr,int fl){return mmap(0,n*4096L,pr,fl,-1,0);}
int main(){prctl(PR_SET_DUMPABLE,1);int st;char*a=pg(4,3,MAP_PRIVATE|MAP_ANON);strcpy(a,"hello");strcpy(a+8192,"world");mprotect(a+4096,4096,0);char b[9000];
 int p[2];pipe(p);pid_t k=fork();if(!k){char c;close(p[1]);read(p[0],&c,1);P("child sees %s|%s|%s\n",a,a+8192,a+100);_exit(0);}
 struct iovec l={b,9000},r={a,8192+10};
#define PV(...) do{errno=0;long x=process_vm_readv(__VA_ARGS__);P("readv(%s)=%ld %s\n",#__VA_ARGS__,x,x<0?strerror(errno):"");}while(0)
#define PW(...) do{errno=0;long x=process_vm_writev(__VA_ARGS__);P("writev(%s)=%ld %s\n",#__VA_ARGS__,x,x<0?strerror(errno):"");}while(0)
 PV(k,&l,1,&r,1,0);PV(k,&l,1,&r,1,1);PV(k,&l,0,&r,1,0);PV(k,&l,1,&r,0,0);PV(k,0,0,0,0,0);PV(999999,&l,1,&r,1,0);PV(k,(void*)1,1,&r,1,0);PV(k,&l,1,(void*)1,1,0);PV(k,&l,1025,&r,1,0);PV(k,&l,1,&r,1025,0);PV(k,&l,-1,&r,1,0);
 struct iovec r2[3]={{a,5},{a+4096,5},{a+8192,5}};PV(k,&l,1,r2,3,0);struct iovec r3[3]={{a+4096,5},{a,5},{a+8192,5}};PV(k,&l,1,r3,3,0);struct iovec r4[2]={{a,-1},{a,5}};PV(k,&l,1,r4,2,0);r4[0].iov_len=0;PV(k,&l,1,r4,2,0);
 struct iovec l2[2]={{(void*)1,5},{b,5}};PV(k,l2,2,&r,1,0);struct iovec l3[2]={{b,3},{(void*)1,5}};r.iov_len=10;PV(k,l3,2,&r,1,0);l.iov_len=3;PV(k,&l,1,&r,1,0);l.iov_len=0;PV(k,&l,1,&r,1,0);l.iov_len=9000;
 r.iov_base=a+8192;r.iov_len=9000;PV(k,&l,1,&r,1,0);r.iov_base=(void*)-4096L;PV(k,&l,1,&r,1,0);r.iov_base=(void*)0x7ffffffff000;PV(k,&l,1,&r,1,0);
 strcpy(b,"XXXX");l.iov_len=5;r.iov_base=a;r.iov_len=5;PW(k,&l,1,&r,1,0);r.iov_base=a+4096;PW(k,&l,1,&r,1,0);r.iov_base="const";PW(k,&l,1,&r,1,0);
 struct iovec w2[2]={{a+8192+4094,2},{a+8192+4096+4095,3}};l.iov_len=5;PW(k,&l,1,w2,2,0);
 char pa[50];sprintf(pa,"/proc/%d/mem",k);int f=open(pa,O_RDWR);R(f>0);
 R(pread(f,b,10,(long)a));R(pread(f,b,10,(long)a+4096));R(pwrite(f,"YYYY",5,(long)a+100));R(pwrite(f,"ZZ",3,(long)a+4096));R(pread(f,b,9000,(long)a+8192));R(pread(f,b,10,0));R(pread(f,b,0,0));R(pread(f,b,10,-10));R(pwrite(f,"q",1,(long)"const"));R(pread(f,(void*)1,10,(long)a));R(pwrite(f,(void*)1,10,(long)a));R(lseek(f,(long)a,0)>0);R(read(f,b,5));R(lseek(f,0,1)==(long)a+5);R(lseek(f,0,2));R(lseek(f,-1,0)!=0);
 char*s=pg(1,1,MAP_SHARED|MAP_ANON);R(pwrite(open("/proc/self/mem",O_RDWR),"x",1,(long)s));char*s2=pg(1,1,MAP_PRIVATE|MAP_ANON);R(pwrite(open("/proc/self/mem",O_RDWR),"x",1,(long)s2));P("%c\n",*s2);
 write(p[1],"g",1);waitpid(k,&st,0);R(pread(f,b,10,(long)a));R(pwrite(f,b,10,(long)a));R(read(f,b,1));
 k=fork();if(!k)_exit(0);siginfo_t si;waitid(P_PID,k,&si,WEXITED|WNOWAIT);l.iov_len=5;r.iov_base=a;r.iov_len=5;PV(k,&l,1,&r,1,0);sprintf(pa,"/proc/%d/maps",k);f=open(pa,O_RDONLY);P("maps %d %ld\n",f>=0,read(f,b,100));sprintf(pa,"/proc/%d/statm",k);f=open(pa,O_RDONLY);int n=read(f,b,100);P("%.*s",n,b);sprintf(pa,"/proc/%d/cmdline",k);f=open(pa,O_RDONLY);P("cmdline %ld\n",read(f,b,100));sprintf(pa,"/proc/%d/exe",k);n=readlink(pa,b,100);P("exe %d %s\n",n,strerror(errno));sprintf(pa,"/proc/%d/smaps",k);f=open(pa,O_RDONLY);P("%d %ld\n",f>=0,read(f,b,100));sprintf(pa,"/proc/%d/fd",k);f=open(pa,O_DIRECTORY);P("fd %d\n",f>=0);sprintf(pa,"/proc/%d/cwd",k);n=readlink(pa,b,100);P("cwd %d %s\n",n,n<0?strerror(errno):"");sprintf(pa,"/proc/%d/stat",k);f=open(pa,O_RDONLY);n=read(f,b,400);b[n]=0;char*q=strrchr(b,')');P("%.4s\n",q);sprintf(pa,"/proc/%d/status",k);f=open(pa,O_RDONLY);n=read(f,b,1400);b[n]=0;P("vm lines %d\n",strstr(b,"VmRSS")!=0);q=strstr(b,"State");P("%.16s\n",q);
 PV(k,&l,1,&r,1,0);
}
