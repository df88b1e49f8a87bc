// SPDX-License-Identifier: GPL-2.0-or-later
/* Limits, prctl, priorities, policies, groups */
#include "rules.h"
#include <linux/prctl.h>
int main(){struct rlimit64{unsigned long c,m;}r,n;
 for(int i=0;i<17;i++){errno=0;int x=SY(SYS_prlimit64,0,i,0,&r);P("lim %d %d %s %lx %lx\n",i,x,x?strerror(errno):"",x||i==6||i==11||i==7||i==4||i==8?0:r.c,x||i==6||i==11||i==7||i==4||i==8?0:r.m);}
 n.c=5;n.m=4;R(SY(SYS_prlimit64,0,0,&n,0));R(SY(SYS_prlimit64,999999,7,0,&r));R(SY(SYS_prlimit64,0,7,1,0));R(SY(SYS_prlimit64,0,7,0,1));R(SY(SYS_getrlimit,16,&r));R(SY(SYS_getrlimit,0,1));R(SY(SYS_setrlimit,-1,&r));
 R(prctl(PR_SET_PDEATHSIG,65));R(prctl(PR_SET_PDEATHSIG,-1));R(prctl(PR_SET_DUMPABLE,2));R(prctl(PR_SET_DUMPABLE,3));R(prctl(PR_SET_NAME,1));R(prctl(PR_SET_NO_NEW_PRIVS,2,0,0,0));R(prctl(PR_CAPBSET_READ,63));R(prctl(PR_CAPBSET_READ,0));R(prctl(PR_SET_TIMERSLACK,0));R(prctl(PR_GET_TIMERSLACK));
 R(prctl(PR_CAP_AMBIENT,1,0,0,0));R(prctl(PR_CAP_AMBIENT,4,0,0,0));R(prctl(PR_CAP_AMBIENT,2,0,0,0));R(prctl(PR_CAP_AMBIENT,1,99,0,0));R(prctl(PR_MCE_KILL_GET,0,0,0,0));
 R(getpriority(0,0));R(getpriority(3,0));R(getpriority(0,999999));R(setpriority(0,0,5));R(getpriority(0,0));R(SY(SYS_getpriority,0,0));R(nice(100));R(SY(SYS_getpriority,0,0));R(setpriority(0,0,-100));R(SY(SYS_getpriority,0,0));setpgid(0,0);R(setpriority(1,0,2));R(SY(SYS_getpriority,1,0));R(setpriority(0,-1,0));R(SY(SYS_getpriority,2,99999));setpriority(0,0,0);
 struct sched_param sp={0};R(SY(SYS_sched_getscheduler,0));R(SY(SYS_sched_setscheduler,0,0x40000000,&sp));R(SY(SYS_sched_getscheduler,0));R(SY(SYS_sched_setscheduler,0,3,&sp));R(SY(SYS_sched_getscheduler,0));R(SY(SYS_sched_setscheduler,0,5,&sp));R(SY(SYS_sched_setscheduler,0,4,&sp));R(SY(SYS_sched_setscheduler,0,6,&sp));R(SY(SYS_sched_setscheduler,0,7,&sp));sp.sched_priority=1;R(SY(SYS_sched_setscheduler,0,0,&sp));R(SY(SYS_sched_setscheduler,0,-1,&sp));R(SY(SYS_sched_setscheduler,-1,0,&sp));R(SY(SYS_sched_setscheduler,0,0,0));R(SY(SYS_sched_setscheduler,0,0,1));sp.sched_priority=0;R(SY(SYS_sched_setscheduler,0,0,&sp));R(SY(SYS_sched_setscheduler,999999,0,&sp));sp.sched_priority=100;R(SY(SYS_sched_setscheduler,0,1,&sp));
 char at[64]={0};R(SY(SYS_sched_getattr,0,at,48,0));P("%d %d\n",*(int*)at,*(int*)(at+4));R(SY(SYS_sched_getattr,0,at,47,0));R(SY(SYS_sched_getattr,0,at,64,0));R(SY(SYS_sched_getattr,0,at,48,1));R(SY(SYS_sched_getattr,0,0,48,0));memset(at,0,64);*(int*)at=48;R(SY(SYS_sched_setattr,0,at,0));*(int*)(at+16)=4;R(SY(SYS_sched_setattr,0,at,0));R(SY(SYS_getpriority,0,0));*(int*)at=0;R(SY(SYS_sched_setattr,0,at,0));*(int*)at=10;R(SY(SYS_sched_setattr,0,at,0));R(SY(SYS_sched_setattr,0,0,0));
 unsigned long m[16]={0};R(SY(SYS_sched_getaffinity,0,9,m));R(SY(SYS_sched_getaffinity,0,0,m));R(SY(SYS_sched_getaffinity,999999,8,m));R(SY(SYS_sched_setaffinity,0,0,m));m[0]=0;R(SY(SYS_sched_setaffinity,0,8,m));R(SY(SYS_sched_setaffinity,0,8,1));R(SY(SYS_sched_get_priority_max,1));R(SY(SYS_sched_get_priority_max,4));R(SY(SYS_sched_get_priority_min,2));R(SY(SYS_sched_get_priority_max,7));
 struct timespec t;R(SY(SYS_sched_rr_get_interval,-1,&t));R(SY(SYS_sched_rr_get_interval,999999,&t));
 R(setpgid(-1,0));R(setpgid(0,-1));R(setpgid(999999,0));R(setpgid(1,0));R(setpgid(0,999999));R(getpgid(-1));R(getsid(999999));R(getpgid(999999));R(SY(SYS_getpgid,getpid())==getpgrp());
 R(SY(SYS_getrusage,2,&r));char ru[200];R(SY(SYS_getrusage,0,1));R(SY(SYS_getrusage,1,ru));R(SY(SYS_getrusage,-1,ru));R(SY(SYS_times,1));R(SY(SYS_times,0)>0);
 R(SY(SYS_personality,-1));
 R(SY(SYS_set_tid_address,0)==getpid());R(SY(SYS_unshare,0));R(SY(SYS_unshare,0x400));R(SY(SYS_unshare,0x200));R(SY(SYS_unshare,0x100));R(SY(SYS_unshare,0x10000));R(SY(SYS_unshare,0x800));R(SY(SYS_unshare,0x40000));R(SY(SYS_unshare,1));
}
