// SPDX-License-Identifier: GPL-2.0-or-later
/* CLONE_CHILD_CLEARTID, robust lists, futex errors */
#include "rules.h"
#include <stddef.h>
#include <linux/futex.h>
/* settid, cleartid, robust */
static int shm_tid[4];
int main(){int*m=mmap(0,4096,3,MAP_SHARED|MAP_ANON,-1,0);int st;
 pid_t k=SY(SYS_clone,0x00200000|0x01000000|0x00100000|SIGCHLD,0,m,m+1,0);
 if(!k){P("child m0 set %d m1 set %d\n",m[0]==getpid(),m[1]==getpid());_exit(0);}waitpid(k,&st,0);P("parent m0 %d m1 %d (cleartid, not shared mm)\n",m[0]==k,m[1]==k);
 /* CLONE_VM: cleared */
 m[0]=m[1]=7;k=SY(SYS_clone,CLONE_VM|CLONE_VFORK|0x00200000|0x01000000|SIGCHLD,0,0,m+1,0);if(!k)_exit(0);waitpid(k,&st,0);P("m1 %d\n",m[1]);
 /* robust: process exits with lock */
 struct robust_list_head*h=mmap(0,4096,3,MAP_SHARED|MAP_ANON,-1,0);
 struct L{struct robust_list l;long x;int f;};struct L*a=(void*)(m+100);
 for(int variant=0;variant<9;variant++){
 memset(m,0,4096);
 k=fork();if(!k){int t=getpid();if(variant==8)t=1;
  h->futex_offset=16;h->list.next=&a[0].l;a[0].l.next=&a[1].l;a[1].l.next=&a[2].l;a[2].l.next=&h->list;h->list_op_pending=0;
  a[0].f=t;a[1].f=t|FUTEX_WAITERS;a[2].f=5;
  if(variant==1)h->list_op_pending=&a[3].l,a[3].f=t;
  if(variant==2)h->list_op_pending=&a[1].l;
  if(variant==3)a[1].l.next=(void*)8;
  if(variant==4)h->futex_offset++;
  if(variant==5)a[1].l.next=&a[0].l,h->list_op_pending=&a[3].l,a[3].f=t;
  if(variant==6){h->list.next=(void*)((long)&a[0].l|1);a[0].f=t|FUTEX_WAITERS;}
  if(variant==7)a[0].f=t|FUTEX_OWNER_DIED;
  R(SY(SYS_set_robust_list,h,24));_exit(0);}
 waitpid(k,&st,0);P("v%d:",variant);for(int i=0;i<4;i++)P(" %x",a[i].f&0xc0000000|((a[i].f&0x3fffffff)==k?0xaa:a[i].f&0x3fffffff));P("\n");}
 long p=-1,l=-1;R(SY(SYS_set_robust_list,0,23));R(SY(SYS_get_robust_list,0,&p,&l));P("%d %ld\n",p!=0,l);R(SY(SYS_get_robust_list,getpid(),&p,1));R(SY(SYS_get_robust_list,0,1,&l));R(SY(SYS_get_robust_list,999999,&p,&l));R(SY(SYS_get_robust_list,-1,&p,&l));
 /* exec handles robust */
 memset(m,0,4096);k=fork();if(!k){h->futex_offset=16;h->list.next=&a[0].l;a[0].l.next=&h->list;h->list_op_pending=0;a[0].f=getpid();SY(SYS_set_robust_list,h,24);execl("/bin/true","true",0);_exit(1);}waitpid(k,&st,0);P("exec: %d %x\n",st,a[0].f);
 /* futex errors */
 int f=1;struct timespec ts={0,1000000},bad={0,-1},neg={-1,0};
 R(SY(SYS_futex,&f,0,0,0));R(SY(SYS_futex,&f,0,1,&ts));R(SY(SYS_futex,&f,0,1,&bad));R(SY(SYS_futex,&f,0,1,&neg));R(SY(SYS_futex,&f,0,0,&bad));R(SY(SYS_futex,1,0,1,&ts));R(SY(SYS_futex,0,0,1,&ts));R(SY(SYS_futex,4,128,1,&ts));R(SY(SYS_futex,4,1,1));R(SY(SYS_futex,4,129,1));R(SY(SYS_futex,0xffffffffffff0000,129,1));R(SY(SYS_futex,&f,1,0));R(SY(SYS_futex,&f,1,-1));R(SY(SYS_futex,&f,9,1,&ts,0,0));R(SY(SYS_futex,&f,10,1,0,0,0));R(SY(SYS_futex,&f,9,1,&ts,0,1));R(SY(SYS_futex,&f,9|256,1,&ts,0,1));R(SY(SYS_futex,&f,0|256,1,&ts));R(SY(SYS_futex,&f,1|256,1,0));R(SY(SYS_futex,&f,3,1,-1,&f));R(SY(SYS_futex,&f,3,-1,1,&f));R(SY(SYS_futex,&f,4,1,1,&f,2));R(SY(SYS_futex,&f,4,1,1,&f,1));R(SY(SYS_futex,&f,4,1,1,0,1));R(SY(SYS_futex,&f,3,0,0,&f));
 int g=10;R(SY(SYS_futex,&f,5,1,1,&g,FUTEX_OP(FUTEX_OP_ADD,5,FUTEX_OP_CMP_EQ,10)));P("%d\n",g);R(SY(SYS_futex,&f,5,1,1,&g,FUTEX_OP(FUTEX_OP_ANDN,3,FUTEX_OP_CMP_LT,10)));P("%d\n",g);R(SY(SYS_futex,&f,5,1,1,&g,FUTEX_OP(FUTEX_OP_OR|8,4,FUTEX_OP_CMP_GE,-5)));P("%d\n",g);R(SY(SYS_futex,&f,5,1,1,&g,FUTEX_OP(FUTEX_OP_OR|8,40,FUTEX_OP_CMP_GE,-5)));P("%d\n",g);R(SY(SYS_futex,&f,5,1,1,&g,FUTEX_OP(7,4,FUTEX_OP_CMP_GE,-5)));R(SY(SYS_futex,&f,5,1,1,&g,FUTEX_OP(FUTEX_OP_SET,-4,9,-5)));P("%d\n",g);R(SY(SYS_futex,&f,5,1,1,0,FUTEX_OP(FUTEX_OP_SET,-4,9,-5)));
 const static int ro=1;R(SY(SYS_futex,&ro,0,1,&ts));R(SY(SYS_futex,&ro,1,1));R(SY(SYS_futex,&ro,128,1,&ts));R(SY(SYS_futex,&g,5,1,1,&ro,FUTEX_OP(FUTEX_OP_SET,1,0,1)));
 int*sh=mmap(0,8192,3,MAP_SHARED|MAP_ANON,-1,0);mprotect(sh+1024,4096,0);sh[0]=1;R(SY(SYS_futex,sh,0,1,&ts));R(SY(SYS_futex,sh+1024,0,1,&ts));R(SY(SYS_futex,sh+1024,1,1));R(SY(SYS_futex,sh+1024,129,1));R(SY(SYS_futex,(char*)sh+2,0,1,&ts));
 /* wait in child, wake across processes, requeue */
 k=fork();if(!k){R(SY(SYS_futex,sh,0,1,0));_exit(0);}msleep(30);R(SY(SYS_futex,sh,129,1));R(SY(SYS_futex,sh,3,0,1,sh+1));R(SY(SYS_futex,sh,1,1));R(SY(SYS_futex,sh+1,1,1));waitpid(k,0,0);
 k=fork();if(!k){R(SY(SYS_futex,sh,9,1,0,0,2));_exit(0);}msleep(30);R(SY(SYS_futex,sh,10,1,0,0,1));R(SY(SYS_futex,sh,1,0));waitpid(k,0,0);
 
}
