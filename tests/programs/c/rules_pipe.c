// SPDX-License-Identifier: GPL-2.0-or-later
/* Pipes: sizes, packets, what a bad address leaves unread */
#include "rules.h"
int main(){signal(SIGPIPE,SIG_IGN);int p[2];char b[70000];memset(b,1,sizeof b);
 R(SY(SYS_pipe2,p,O_NONBLOCK));R(fcntl(p[0],F_GETPIPE_SZ));R(fcntl(p[0],F_GETFL));R(fcntl(p[1],F_GETFL));
 R(write(p[1],b,70000));R(write(p[1],b,1));int n;R(ioctl(p[0],FIONREAD,&n));P("n %d\n",n);
 R(fcntl(p[0],F_SETPIPE_SZ,4096));R(fcntl(p[0],F_SETPIPE_SZ,1));R(read(p[0],b,1));R(write(p[1],b,1));R(read(p[0],b,4095));R(write(p[1],b,5000));R(read(p[0],b,70000));
 R(fcntl(p[0],F_SETPIPE_SZ,0));R(fcntl(p[0],F_SETPIPE_SZ,-1));R(fcntl(p[0],F_SETPIPE_SZ,4097));R(fcntl(p[0],F_SETPIPE_SZ,1<<20));R(fcntl(p[0],F_SETPIPE_SZ,0x80000001u));
 R(fcntl(p[0],F_SETPIPE_SZ,8192));
 for(int i=0;i<5;i++){R(write(p[1],b,3000));}R(ioctl(p[0],FIONREAD,&n));P("n %d\n",n);
 R(read(p[0],b,70000));
 R(write(p[1],b,4096));R(write(p[1],b,4096));R(read(p[0],b,4000));R(write(p[1],b,100));R(write(p[1],b,4096));R(write(p[1],b,4097));
 struct pollfd f[2]={{p[0],-1},{p[1],-1}};R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);
 R(read(p[0],b,96));R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);R(read(p[0],b,70000));R(poll(f,2,0));P("%x %x\n",f[0].revents,f[1].revents);
 R(read(p[0],b,10));R(read(p[0],b,0));R(write(p[1],b,0));R(read(p[1],b,1));R(write(p[0],b,1));R(lseek(p[0],0,0));R(pread(p[0],b,1,0));R(pwrite(p[1],b,1,0));R(ftruncate(p[0],0));R(fsync(p[0]));R(fdatasync(p[1]));R(SY(SYS_fallocate,p[1],0,0,1));R(SY(SYS_fadvise64,p[0],0,0,0));R(SY(SYS_readahead,p[0],0,0));R(SY(SYS_sync_file_range,p[0],0,0,0));R(mmap(0,4096,1,2,p[0],0)==MAP_FAILED);P("%s\n",strerror(errno));
 R(SY(SYS_getdents64,p[0],b,100));R(fchdir(p[0]));R(ioctl(p[0],0x5401,b));R(ioctl(p[0],FIONREAD,1));R(flock(p[0],1));R(fcntl(p[0],F_GETLK,b));
 struct stat st;fstat(p[0],&st);P("mode %o nlink %ld size %ld blk %ld bs %ld\n",st.st_mode,st.st_nlink,st.st_size,st.st_blocks,st.st_blksize);
 write(p[1],b,100);fstat(p[0],&st);P("size %ld\n",st.st_size);
 R(write(p[1],(char*)1,5));R(read(p[0],(char*)1,5));R(ioctl(p[0],FIONREAD,&n));P("n %d\n",n);
 
 close(p[1]);f[1].fd=-1;R(poll(f,1,0));P("%x\n",f[0].revents);R(read(p[0],b,1000));R(read(p[0],b,1000));f[0].events=0;R(poll(f,1,0));P("%x\n",f[0].revents);close(p[0]);
 R(pipe2(p,0));close(p[0]);f[1].fd=p[1];f[0].fd=-1;R(write(p[1],b,1));R(write(p[1],b,0));R(poll(f,2,0));P("%x\n",f[1].revents);close(p[1]);
 R(SY(SYS_pipe2,p,O_APPEND));R(SY(SYS_pipe2,1,0));R(SY(SYS_pipe2,p,O_DIRECT|O_NONBLOCK));
 R(fcntl(p[1],F_GETFL));R(write(p[1],"abc",3));R(write(p[1],"defgh",5));R(write(p[1],b,5000));R(ioctl(p[0],FIONREAD,&n));P("n %d\n",n);R(read(p[0],b,100));R(read(p[0],b,2));R(read(p[0],b,2));R(read(p[0],b,9000));R(read(p[0],b,9000));
 R(fcntl(p[1],F_SETFL,O_NONBLOCK));R(write(p[1],"abc",3));R(write(p[1],"abc",3));R(read(p[0],b,100));
 R(fcntl(p[1],F_SETFL,O_NONBLOCK|O_DIRECT));R(write(p[1],"abc",3));R(write(p[1],"abc",3));R(read(p[0],b,100));
 for(n=0;write(p[1],"x",1)==1;n++);P("packets %d\n",n);
 char path[40];sprintf(path,"/proc/self/fd/%d",p[0]);int q=open(path,O_WRONLY|O_NONBLOCK);P("reopen %d\n",q>0);R(fcntl(q,F_GETFL)&~0100000);char lk[50];n=readlink(path,lk,50);P("%.5s\n",lk);
 struct iovec v[3]={{b,1},{b+10,0},{b+20,3}};while(read(p[0],b,100)>0);R(fcntl(p[1],F_SETFL,O_NONBLOCK));R(writev(p[1],v,3));R(readv(p[0],v,3));R(readv(p[0],v,3));
 R(dup2(p[0],p[0]));R(SY(SYS_dup3,p[0],p[0],0));R(close(p[0]));R(close(p[0]));
}
