// SPDX-License-Identifier: GPL-2.0-or-later
/* Faults of a family whose members exit in several orders */
#include "rules.h"
/* anon_vma / COW refcount observable through faults and pagemap exclusivity, forks in all orders */
static long flt(){struct rusage r;getrusage(RUSAGE_SELF,&r);return r.ru_minflt;}
static int pmf;static unsigned long pm(void*a){unsigned long v=0;pread(pmf,&v,8,(long)a/4096*8);return v&~((1ul<<55)-1)&~(1ul<<55);}
int main(){char*a=mmap(0,8<<12,3,MAP_PRIVATE|MAP_ANON,-1,0);memset(a,1,8<<12);pmf=open("/proc/self/pagemap",0);int p[2],q[2];pipe(p);pipe(q);char c;
 for(int order=0;order<4;order++){memset(a,order,8<<12);P("order %d: %lx\n",order,pm(a));
 pid_t k=fork();if(!k){pmf=open("/proc/self/pagemap",0);pid_t g=fork();if(!g){pmf=open("/proc/self/pagemap",0);read(p[0],&c,1);long f=flt();a[0]=9;a[4096]=9;P("grandchild faults %ld %lx %lx\n",flt()-f,pm(a),pm(a+8192));write(q[1],"x",1);_exit(0);}
  if(order&1){a[0]=5;}if(order&2){munmap(a+4096,4096);}
  write(q[1],"x",1);_exit(0);}
 waitpid(k,0,0);read(q[0],&c,1);long f=flt();a[8192]=3;P("parent faults %ld %lx\n",flt()-f,pm(a+8192));write(p[1],"g",1);read(q[0],&c,1);msleep(20);f=flt();for(int i=0;i<8;i++)a[i*4096]=3;P("parent faults %ld %lx\n",flt()-f,pm(a));}
 /* vmsplice/GUP: O_DIRECT no; process_vm pins */
 int st;pid_t k=fork();if(!k){struct rusage r;P("start faults <100 %d\n",flt()<100);long f=flt();for(int i=0;i<8;i++)a[i*4096]=3;P("%ld\n",flt()-f);_exit(0);}waitpid(k,&st,0);
 /* read() into COW page by kernel */
 int z=open("/dev/zero",0);k=fork();if(!k){long f=flt();read(z,a,3*4096);P("kernel write faults %ld\n",flt()-f);_exit(0);}waitpid(k,&st,0);P("%d\n",a[0]);
 /* write to zero page after fork */
 char*b=mmap(0,4<<12,3,MAP_PRIVATE|MAP_ANON,-1,0);volatile char v=b[0]+b[4096];k=fork();if(!k){long f=flt();b[0]=1;b[8192]=1;P("zero %ld\n",flt()-f);_exit(0);}waitpid(k,&st,0);{long f=flt();b[0]=1;b[4096]=1;b[8192]=1;P("zero parent %ld\n",flt()-f);}
 /* file private */
 int fd=open("/proc/self/exe",0);char*m=mmap(0,8192,3,MAP_PRIVATE,fd,0);v=m[0];m[10]=1;k=fork();if(!k){long f=flt();v=m[0];m[0]=2;P("file %ld %lx\n",flt()-f,pm(m));_exit(0);}waitpid(k,&st,0);{long f=flt();m[0]=2;P("file parent %ld %lx\n",flt()-f,pm(m));}
 char*s=mmap(0,8192,3,MAP_SHARED|MAP_ANON,-1,0);s[0]=1;k=fork();if(!k){pmf=open("/proc/self/pagemap",0);long f=flt();v=s[0];s[0]=2;s[4096]=3;P("shared %ld %lx\n",flt()-f,pm(s));_exit(0);}waitpid(k,&st,0);{long f=flt();v=s[4096];s[0]=1;P("shared parent %ld %lx %d\n",flt()-f,pm(s),v);}
}
