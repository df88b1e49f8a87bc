// SPDX-License-Identifier: GPL-2.0-or-later
/* kill, tkill, sigqueue: errors, flags that sigaction keeps, and all 48 bytes of the siginfo of a user */
#include "rules.h"
static pid_t me; static siginfo_t last; static int cnt;
struct ksa{void*h;unsigned long fl;void*re;unsigned long mask;};
void h(int s,siginfo_t*i,void*u){cnt++;last=*i;P("h %d code %d pid %s uid %d status %d val %p\n",s,i->si_code,i->si_pid==me?"me":i->si_pid==getppid()?"ppid":i->si_pid==0?"0":"other",i->si_uid,0,s>=32?i->si_value.sival_ptr:0);}
void hc(int s,siginfo_t*i,void*u){P("chld code %d status %d uid %d\n",i->si_code,i->si_status,i->si_uid);}
int main(){me=getpid();
 struct ksa a={0},o; 
 /* flags kept */
 a.h=SIG_IGN;a.fl=0x400|0x800|0x10|0x20|0x40|0x100|0x200|1|2|4;R(SY(SYS_rt_sigaction,SIGUSR1,&a,0,8));
 R(SY(SYS_rt_sigaction,SIGUSR1,0,&o,8));P("flags %lx mask %lx\n",o.fl,o.mask);
 a.fl=~0ul;a.mask=~0ul;R(SY(SYS_rt_sigaction,SIGUSR1,&a,&o,8));R(SY(SYS_rt_sigaction,SIGUSR1,0,&o,8));P("flags %lx mask %lx re %p\n",o.fl,o.mask,o.re);
 a.h=0;a.fl=0;a.mask=0;SY(SYS_rt_sigaction,SIGUSR1,&a,0,8);
 R(SY(SYS_rt_sigaction,SIGKILL,0,&o,8));R(SY(SYS_rt_sigaction,SIGKILL,&a,&o,8));R(SY(SYS_rt_sigaction,65,0,&o,8));R(SY(SYS_rt_sigaction,64,0,&o,8));
 R(SY(SYS_rt_sigaction,0,0,&o,8));R(SY(SYS_rt_sigaction,SIGUSR1,1,&o,8));R(SY(SYS_rt_sigaction,SIGUSR1,0,1,8));R(SY(SYS_rt_sigaction,SIGUSR1,0,0,4));
 struct sigaction sa={0};sa.sa_sigaction=h;sa.sa_flags=SA_SIGINFO;
 for(int s=1;s<65;s++)if(s!=SIGKILL&&s!=SIGSTOP&&(s<32||s>34)&&s!=SIGCHLD)sigaction(s,&sa,0);
 R(raise(SIGUSR1));R(kill(me,SIGUSR2));R(kill(getpid(),0));R(kill(-getpgrp(),0));R(kill(me,65));R(kill(me,-1));R(kill(999999,0));R(kill(INT_MIN,1));
 R(SY(SYS_tkill,me,SIGUSR1));R(SY(SYS_tgkill,me,me,SIGUSR1));R(SY(SYS_tgkill,1,me,SIGUSR1));R(SY(SYS_tgkill,0,me,SIGUSR1));R(SY(SYS_tkill,-1,SIGUSR1));R(SY(SYS_tkill,0,SIGUSR1));R(SY(SYS_tkill,me,64));R(SY(SYS_tkill,me,65));
 union sigval v={.sival_ptr=(void*)0x1234567};R(sigqueue(me,40,v));R(sigqueue(me,SIGUSR1,v));
 siginfo_t si;memset(&si,0,128);si.si_code=-60;si.si_pid=77;si.si_uid=88;si.si_value.sival_ptr=(void*)99;
 R(SY(SYS_rt_sigqueueinfo,me,41,&si));P("last %d %d %d %p\n",last.si_signo,last.si_pid,last.si_uid,last.si_value.sival_ptr);
 si.si_code=SI_USER;R(SY(SYS_rt_sigqueueinfo,me,41,&si));si.si_code=SI_TKILL;R(SY(SYS_rt_sigqueueinfo,me,41,&si));si.si_code=5;si.si_addr=(void*)0x5555;R(SY(SYS_rt_sigqueueinfo,me,SIGSEGV,&si));P("addr %p\n",last.si_addr);
 si.si_code=SI_KERNEL;R(SY(SYS_rt_sigqueueinfo,me,SIGSEGV,&si));P("addr %p\n",last.si_addr);
 si.si_code=SI_TIMER;si.si_timerid=5;si.si_overrun=6;R(SY(SYS_rt_sigqueueinfo,me,42,&si));P("tid %d ov %d\n",last.si_timerid,last.si_overrun);
 si.si_code=SI_SIGIO;R(SY(SYS_rt_sigqueueinfo,me,42,&si));
 si.si_code=-1;R(SY(SYS_rt_sigqueueinfo,1,42,&si));R(SY(SYS_rt_sigqueueinfo,me,0,&si));R(SY(SYS_rt_sigqueueinfo,me,65,&si));R(SY(SYS_rt_sigqueueinfo,me,42,1));R(SY(SYS_rt_sigqueueinfo,999999,42,&si));
 R(SY(SYS_rt_tgsigqueueinfo,me,me,42,&si));R(SY(SYS_rt_tgsigqueueinfo,me,1,42,&si));R(SY(SYS_rt_tgsigqueueinfo,0,me,42,&si));
 memset(&si,0xaa,128);si.si_code=-1;R(SY(SYS_rt_sigqueueinfo,me,42,&si));
 si.si_code=-77;R(SY(SYS_rt_sigqueueinfo,me,42,&si));
 memset(&si,0,128);memset((char*)&si+16,0xbb,32);si.si_code=-77;R(SY(SYS_rt_sigqueueinfo,me,42,&si));unsigned char*q=(void*)&last;for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=SI_ASYNCIO;R(SY(SYS_rt_sigqueueinfo,me,SIGUSR1,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=SI_SIGIO;R(SY(SYS_rt_sigqueueinfo,me,SIGIO,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=1;R(SY(SYS_rt_sigqueueinfo,me,SIGSYS,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=1;R(SY(SYS_rt_sigqueueinfo,me,SIGIO,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=1;R(SY(SYS_rt_sigqueueinfo,me,SIGTRAP,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=4;R(SY(SYS_rt_sigqueueinfo,me,SIGBUS,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=3;R(SY(SYS_rt_sigqueueinfo,me,SIGSEGV,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=4;R(SY(SYS_rt_sigqueueinfo,me,SIGSEGV,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=6;R(SY(SYS_rt_sigqueueinfo,me,SIGTRAP,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
 si.si_code=20;R(SY(SYS_rt_sigqueueinfo,me,SIGFPE,&si));for(int i=0;i<64;i++)P("%02x",q[i]);P("\n");
}
