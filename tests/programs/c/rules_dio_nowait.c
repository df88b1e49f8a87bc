// SPDX-License-Identifier: GPL-2.0-or-later
/* RWF_NOWAIT with O_DIRECT: what would wait; flags of FIEMAP */
#include "rules.h"
#include <linux/fs.h>
#include <linux/fiemap.h>
static void fm(int fd,int fl){struct{struct fiemap f;struct fiemap_extent e[16];}q;memset(&q,0,sizeof q);q.f.fm_length=-1;q.f.fm_flags=fl;q.f.fm_extent_count=16;int r=ioctl(fd,FS_IOC_FIEMAP,&q);P("fiemap %x: %d %s flags %x n %d\n",fl,r,r<0?strerror(errno):"",q.f.fm_flags,q.f.fm_mapped_extents);}
static struct iovec v;static int d;
#define N(o) R(pwritev2(d,&v,1,o,RWF_NOWAIT))
#define M(o) R(preadv2(d,&v,1,o,RWF_NOWAIT))
int main(){int fd=open("/tmp",O_TMPFILE|O_RDWR,0600);char n[50];sprintf(n,"/proc/self/fd/%d",fd);d=open(n,O_RDWR|O_DIRECT);
 char*a=mmap(0,16384,3,MAP_PRIVATE|MAP_ANONYMOUS,-1,0);memset(a,1,16384);v.iov_base=a;v.iov_len=4096;
 R(pwrite(d,a,8192,0));R(ftruncate(fd,16*4096));R(fallocate(fd,0,8*4096,8192));
 P("written\n");N(0);N(4096);P("hole\n");N(3*4096);N(15*4096);P("unwritten\n");N(8*4096);N(8*4096);P("end\n");N(16*4096);N(17*4096);R(pwritev2(d,&v,1,0,RWF_NOWAIT|RWF_APPEND));
 v.iov_len=8192;P("two\n");N(0);N(4096);N(7*4096);N(15*4096);v.iov_len=512;P("part\n");N(0);N(512);N(3*4096);N(9*4096);v.iov_len=100;N(0);N(20*4096);M(0);
 v.iov_len=4096;M(0);M(4*4096);M(16*4096);M(9*4096);
 R(pwrite(fd,"x",1,0));P("dirty\n");M(0);N(0);M(4096);N(4096);R(fsync(fd));P("clean\n");M(0);N(0);R(pwrite(d,a,4096,0));P("gone\n");M(0);N(0);
 struct stat s;fstat(fd,&s);P("%ld %ld\n",(long)s.st_size,(long)s.st_blocks);
 for(int f=0;f<=16;f=f?f*2:1)fm(fd,f);fm(fd,6);fm(fd,12);
}
