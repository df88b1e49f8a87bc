// SPDX-License-Identifier: GPL-2.0-or-later
/* Flags of clone and clone3 */
#include "rules.h"
static char stk[65536];
static long c3(unsigned long fl,long sig,void*st,long sz,long tls,void*ptid,void*ctid,long a,long b,long cg,int size){unsigned long v[12]={fl,0,(long)ctid,(long)ptid,sig,(long)st,sz,tls,a,b,cg,0};long r=syscall(435,v,size);if(r==0)_exit(0);return r;}
#define C3(...) do{errno=0;long r_=c3(__VA_ARGS__);P("clone3(%s) = %s %s\n",#__VA_ARGS__,r_>0?"pid":r_<0?"-1":"0",r_<0?strerror(errno):"");if(r_>0)while(waitpid(-1,0,__WALL)>0);}while(0)
#define CL(fl,st) do{errno=0;long r_=syscall(SYS_clone,(long)(fl),(long)(st),0,0,0);if(r_==0)_exit(0);P("clone(%s) = %s %s\n",#fl,r_>0?"pid":"-1",r_<0?strerror(errno):"");if(r_>0)while(waitpid(-1,0,__WALL)>0);}while(0)
int main(){
 CL(CLONE_THREAD,0);CL(CLONE_SIGHAND,0);CL(CLONE_THREAD|CLONE_SIGHAND,0);CL(CLONE_NEWNS|CLONE_FS,0);CL(CLONE_NEWUSER|CLONE_FS,0);CL(CLONE_THREAD|CLONE_SIGHAND|CLONE_VM|CLONE_NEWUSER,0);CL(CLONE_THREAD|CLONE_SIGHAND|CLONE_VM|CLONE_NEWPID,0);
 CL(CLONE_PIDFD|CLONE_DETACHED,0);CL(CLONE_DETACHED|SIGCHLD,0);CL(0,0);CL(255,0);CL(CLONE_VFORK|SIGCHLD,0);CL(CLONE_PTRACE|SIGCHLD,0);CL(CLONE_UNTRACED|SIGCHLD,0);CL(CLONE_SETTLS|SIGCHLD,0);CL(CLONE_IO|SIGCHLD,0);CL(CLONE_SYSVSEM|SIGCHLD,0);CL(CLONE_CHILD_SETTID|SIGCHLD,0);CL(CLONE_PARENT_SETTID|SIGCHLD,0);CL(CLONE_PARENT|SIGUSR1,0);
 C3(0,SIGCHLD,0,0,0,0,0,0,0,0,64);C3(0,SIGCHLD,0,0,0,0,0,0,0,0,63);C3(0,SIGCHLD,0,0,0,0,0,0,0,0,80);C3(0,SIGCHLD,0,0,0,0,0,0,0,0,88);C3(0,SIGCHLD,0,0,0,0,0,0,0,0,96);C3(0,SIGCHLD,0,0,0,0,0,0,0,0,5000);C3(0,SIGCHLD,0,0,0,0,0,0,0,0,65);
 C3(0,65,0,0,0,0,0,0,0,0,64);C3(0,17,0,0,0,0,0,0,0,0,64);C3(0,256,0,0,0,0,0,0,0,0,64);C3(SIGCHLD,0,0,0,0,0,0,0,0,0,64);C3(CLONE_DETACHED,0,0,0,0,0,0,0,0,0,64);C3(0,0,stk,0,0,0,0,0,0,0,64);C3(0,0,0,100,0,0,0,0,0,0,64);C3(CLONE_THREAD|CLONE_SIGHAND|CLONE_VM,SIGCHLD,0,0,0,0,0,0,0,0,64);C3(CLONE_PARENT,SIGCHLD,0,0,0,0,0,0,0,0,64);C3(CLONE_SIGHAND|CLONE_VM|0x100000000ul,0,0,0,0,0,0,0,0,0,64);C3(0x100000000ul,SIGCHLD,0,0,0,0,0,0,0,0,64);C3(0x400000000ul,SIGCHLD,0,0,0,0,0,0,0,0,64);C3(0,SIGCHLD,0,0,0,0,0,1,0,0,80);C3(0,SIGCHLD,0,0,0,0,0,0,1,0,80);C3(0x200000000ul,SIGCHLD,0,0,0,0,0,0,0,1,80);C3(0x200000000ul,SIGCHLD,0,0,0,0,0,0,0,1ul<<40,88);
 R(syscall(435,1,64));R(syscall(435,0,88));R(syscall(435,0,0));R(syscall(435,0,8192));
 {unsigned long v[12]={0};v[4]=SIGCHLD;v[11]=1;R(syscall(435,v,96));}
 C3(0,SIGCHLD,(void*)0x7ffffffff000ul,4096,0,0,0,0,0,0,64);
 C3(CLONE_SETTLS,SIGCHLD,0,0,0x7fffffffffff,0,0,0,0,0,64);C3(CLONE_SETTLS,SIGCHLD,0,0,-1,0,0,0,0,0,64);
}
