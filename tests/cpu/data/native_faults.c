/* native ground truth: runs each case in a forked child; prints name, sig, code, err, trapno, cr2-base offset, rip-offset, addr */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <asm/prctl.h>
#include <sys/syscall.h>
/* layout: CODE page at 0x10000000 (code at +0x800..), DATA present RW 0x20000000 .. +0x3000, hole at 0x20003000, RO page 0x20010000(after RW 0x2000f000), */
static char name[64]; static unsigned long code0;
static void h(int s, siginfo_t*i, void*u){ucontext_t*c=u;greg_t*g=c->uc_mcontext.gregs;char b[256];
 int n=snprintf(b,256,"%s sig=%d code=%d addr=%#lx err=%#llx trap=%lld cr2=%#llx rip=%+ld\n",name,s,i->si_code,(unsigned long)i->si_addr,g[REG_ERR],g[REG_TRAPNO],g[REG_CR2],(long)(g[REG_RIP]-code0));write(1,b,n);_exit(0);}
int main(){char line[512];static char stk[65536];
 mmap((void*)0x10000000,8192,7,MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED,-1,0);
 mmap((void*)0x20000000,0x3000,3,MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE,-1,0);
 mmap((void*)0x2000f000,0x1000,3,MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE,-1,0);
 mmap((void*)0x20010000,0x1000,1,MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED|MAP_POPULATE,-1,0);
 while(fgets(line,512,stdin)){ char hex[256]; unsigned long rdi,rsi,rsp,off; 
  if(sscanf(line,"%63s %255s %lx %lx %lx %lx",name,hex,&rdi,&rsi,&rsp,&off)!=6)continue;
  fflush(stdout); if(fork()==0){ stack_t ss={.ss_sp=stk,.ss_size=65536};sigaltstack(&ss,0);
   struct sigaction sa={.sa_sigaction=h,.sa_flags=SA_SIGINFO|SA_ONSTACK};for(int s=1;s<32;s++)sigaction(s,&sa,0);
   unsigned char*p=(void*)(0x10000000+off); code0=(unsigned long)p; int n=strlen(hex)/2; for(int i=0;i<n;i++){unsigned v;sscanf(hex+2*i,"%2x",&v);p[i]=v;}
   if(off+n<4096||1){memcpy(p+n,"\x0f\x0b",2);} if(off>=0xe00&&off<0x1000)munmap((void*)0x10001000,4096);
   asm volatile("mov %0,%%rdi;mov %1,%%rsi;mov %2,%%rsp;mov %3,%%rbp;mov $3,%%ecx;mov $0x8100,%%edx;mov $2,%%ebx;xor %%eax,%%eax;jmp *%%rbp"::"r"(rdi),"r"(rsi),"r"(rsp),"r"(p):"memory","rdi","rsi","rcx","rdx","rbx","rax");
  } wait(0);} }
