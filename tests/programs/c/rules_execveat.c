// SPDX-License-Identifier: GPL-2.0-or-later
/* execveat, scripts by descriptor, RLIMIT_NPROC at execve */
#include "rules.h"
int main(int c,char**v){if(c!=1||!strcmp(v[0],"new")){char nm[20];prctl(PR_GET_NAME,nm);P("argc %d new %d comm %s\n",c,!strcmp(v[0],"new"),nm);return 3;}
 char*e[]={"new",0},*n[]={0};char scr[300],lnk[300];snprintf(scr,300,"%s.scr",v[0]);snprintf(lnk,300,"%s.lnk",v[0]);int st;pid_t k;int f=open(v[0],O_RDONLY),fc=open(v[0],O_RDONLY|O_CLOEXEC),d=open("/bin",O_DIRECTORY|O_RDONLY);int s=open(scr,O_CREAT|O_RDWR|O_TRUNC,0755);char b[200];write(s,b,sprintf(b,"#!%s a\n",v[0]));close(s);symlink(scr,lnk);int s1=open(scr,O_RDONLY),s2=open(scr,O_RDONLY|O_CLOEXEC);
#define X(...) do{P("%s: ",#__VA_ARGS__);k=fork();if(!k){syscall(322,__VA_ARGS__);P("%s\n",strerror(errno));_exit(1);}waitpid(k,&st,0);P("%x\n",st);}while(0)
 X(f,"",e,n,AT_EMPTY_PATH);X(fc,"",e,n,AT_EMPTY_PATH);X(f,"",e,n,0);X(AT_FDCWD,v[0],e,n,0);X(AT_FDCWD,"",e,n,AT_EMPTY_PATH);X(d,"true",e,n,0);X(d,"nonexist",e,n,0);X(f,"x",e,n,0);X(999,"",e,n,AT_EMPTY_PATH);X(999,"/bin/true",e,n,0);X(f,"",e,n,1);X(AT_FDCWD,lnk,e,n,AT_SYMLINK_NOFOLLOW);X(AT_FDCWD,lnk,e,n,0);X(s1,"",e,n,AT_EMPTY_PATH);X(s2,"",e,n,AT_EMPTY_PATH);X(f,0,e,n,AT_EMPTY_PATH);X(d,"",e,n,AT_EMPTY_PATH);
 unlink(scr);unlink(lnk);
 k=fork();if(!k){struct rlimit r={1,1};setrlimit(RLIMIT_NPROC,&r);pid_t q=fork();if(!q){setuid(54321);R(0);msleep(50);_exit(0);}msleep(10);R(setuid(54321));R(execve("/bin/true",e,n));_exit(0);}waitpid(k,&st,0);
}
