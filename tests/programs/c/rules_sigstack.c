// SPDX-License-Identifier: GPL-2.0-or-later
/* sigaltstack, blocked and ignored faults, order of delivery */
#include "rules.h"
/* masks, sync signals, altstack */
#define SA_(a,b) syscall(SYS_sigaltstack,a,b)
static char st[65536];jmp_buf jb;
void h(int s,siginfo_t*i,void*v){ucontext_t*u=v;stack_t o;SA_(0,&o);P("h %d on %d flags %x uc_stack sp %d size %zu fl %x uclink %p mask %lx err %lx trap %lx cr2 %lx\n",s,(char*)&o>st&&(char*)&o<st+65536,o.ss_flags,u->uc_stack.ss_sp==st,u->uc_stack.ss_size,u->uc_stack.ss_flags,u->uc_link,*(long*)&u->uc_sigmask,s==SIGSEGV?u->uc_mcontext.gregs[REG_ERR]:0,s==SIGSEGV?u->uc_mcontext.gregs[REG_TRAPNO]:0,s==SIGSEGV?u->uc_mcontext.gregs[REG_CR2]:0);
 P("csgsfs %llx efl %llx oldmask %llx fp %d align %ld\n",u->uc_mcontext.gregs[REG_CSGSFS],u->uc_mcontext.gregs[REG_EFL]&~0x8d5,u->uc_mcontext.gregs[REG_OLDMASK],u->uc_mcontext.fpregs!=0,(long)u->uc_mcontext.fpregs%64);
 stack_t n={.ss_sp=st+100,.ss_size=8192};int r=SA_(&n,0);P("set in handler %d %s\n",r,r?strerror(errno):"");
 if(s==SIGSEGV)siglongjmp(jb,1);}
int main(){stack_t ss={.ss_sp=st,.ss_size=65536,.ss_flags=0},o;
 R(SA_(0,&o));P("%p %zu %x\n",o.ss_sp,o.ss_size,o.ss_flags);
 ss.ss_size=2047;R(SA_(&ss,0));ss.ss_size=2048;R(SA_(&ss,0));ss.ss_size=65536;ss.ss_flags=3;R(SA_(&ss,0));ss.ss_size=65536;ss.ss_flags=SS_ONSTACK;R(SA_(&ss,&o));P("%d %zu %x\n",o.ss_sp==st,o.ss_size,o.ss_flags);R(SA_(0,&o));P("%d %zu %x\n",o.ss_sp==st,o.ss_size,o.ss_flags);
 struct sigaction sa={0};sa.sa_sigaction=h;sa.sa_flags=SA_SIGINFO|SA_ONSTACK;sigaction(SIGUSR1,&sa,0);sigaction(SIGSEGV,&sa,0);
 raise(SIGUSR1);
 if(!sigsetjmp(jb,1))*(volatile int*)0x1234=1;
 if(!sigsetjmp(jb,1))*(volatile int*)0xdead000000000000=1;
 if(!sigsetjmp(jb,1)){asm volatile("hlt");}
 if(!sigsetjmp(jb,1)){((void(*)(void))0x4242)();}
 SA_(0,&o);P("after: %d %zu %x\n",o.ss_sp==st,o.ss_size,o.ss_flags);
 ss.ss_flags=1u<<31;R(SA_(&ss,0));R(SA_(0,&o));P("%d %zu %x\n",o.ss_sp==st,o.ss_size,o.ss_flags);
 raise(SIGUSR1);SA_(0,&o);P("after: %d %zu %x\n",o.ss_sp==st,o.ss_size,o.ss_flags);
 ss.ss_flags=SS_DISABLE;ss.ss_size=5;R(SA_(&ss,&o));SA_(0,&o);P("dis: %p %zu %x\n",o.ss_sp,o.ss_size,o.ss_flags);
 /* blocked sync signal kills */
 pid_t k=fork();int w;if(!k){sigset_t m;sigemptyset(&m);sigaddset(&m,SIGSEGV);sigprocmask(0,&m,0);*(volatile int*)0=1;_exit(0);}waitpid(k,&w,0);P("blocked segv %x\n",w&~0x80);
 k=fork();if(!k){signal(SIGSEGV,SIG_IGN);*(volatile int*)0=1;_exit(0);}waitpid(k,&w,0);P("ign segv %x\n",w&~0x80);
 k=fork();if(!k){signal(SIGSEGV,SIG_IGN);raise(SIGSEGV);_exit(8);}waitpid(k,&w,0);P("ign raise %x\n",w&~0x80);
 k=fork();if(!k){sa.sa_flags=SA_SIGINFO;sigaction(SIGSEGV,&sa,0);asm volatile("mov $0x1000,%rsp; push %rax");_exit(8);}waitpid(k,&w,0);P("bad stack %x\n",w&~0x80);
 k=fork();if(!k){sa.sa_flags=SA_SIGINFO;sigaction(SIGUSR1,&sa,0);asm volatile("mov $0x1000,%%rsp; mov %0,%%edi; mov %1,%%esi; mov $200,%%eax; syscall"::"r"(getpid()),"r"(10));_exit(8);}waitpid(k,&w,0);P("bad stack usr1 %x\n",w&~0x80);
 /* order: pending several */
 sigset_t all,old;sigfillset(&all);sigprocmask(SIG_BLOCK,&all,&old);
 sa.sa_flags=SA_SIGINFO;for(int s=1;s<65;s++)if(s!=9&&s!=19&&(s<32||s>34))sigaction(s,&sa,0);
 kill(getpid(),SIGTERM);kill(getpid(),SIGHUP);SY(SYS_tkill,getpid(),SIGALRM);kill(getpid(),SIGSYS);raise(SIGTRAP);kill(getpid(),40);kill(getpid(),40);kill(getpid(),39);kill(getpid(),SIGTERM);
 sigprocmask(SIG_SETMASK,&old,0);
}
