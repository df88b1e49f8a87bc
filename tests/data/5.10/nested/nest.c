// SPDX-License-Identifier: GPL-2.0-or-later
// A family of processes that forks, writes and exits as `script` says: WHO OP ARG. Recorded with the common.h of the other recordings.
#include "common.h"
static void marker(const char*s){char c;pf("@@SNAP %s\n",s);read(0,&c,1);}
enum{N=10};
static int to[N][2],ack[2]; static volatile char*a,*b,*e;
struct cmd{char op;char arg;};
static void loop(int me);
static void act(int me,struct cmd c){
  int pid;
  switch(c.op){
  case 'f': pid=fork(); if(!pid){ loop(c.arg); } pf("@@PID %d %d\n",c.arg,pid); break;
  case 'w': a[c.arg*PG]=me+1; break;
  case 'b': b[c.arg*PG]=me+1; break;
  case 'u': munmap((void*)(a+c.arg*PG),PG); break;
  case 'p': mprotect((void*)(e+c.arg*PG),PG,1); break;
  case 'x': write(ack[1],"x",1); _exit(0);
  }
}
static void loop(int me){ write(ack[1],"x",1); for(;;){ struct cmd c; read(to[me][0],&c,2); if(c.op=='f'){ act(me,c); continue; } act(me,c); write(ack[1],"x",1);} }
static void go(int who,char op,int arg){ char x; struct cmd c={op,arg}; if(who==0){ if(op=='f'){act(0,c);read(ack[0],&x,1);} else act(0,c); return;} write(to[who][1],&c,2); read(ack[0],&x,1); usleep(20000); }
int main(){
  setup(); signal(SIGCHLD,SIG_IGN);
  for(int i=0;i<N;i++)pipe(to[i]); pipe(ack);
  a=mmap(0,8*PG,3,MAP_PRIVATE|MAP_ANONYMOUS,-1,0); for(int i=0;i<8;i++)a[i*PG]=1;
  mmap(0,PG,0,MAP_PRIVATE|MAP_ANONYMOUS,-1,0);
  b=mmap(0,4*PG,3,MAP_PRIVATE|MAP_ANONYMOUS,-1,0);
  mmap(0,PG,0,MAP_PRIVATE|MAP_ANONYMOUS,-1,0);
  e=mmap(0,4*PG,3,MAP_SHARED|MAP_ANONYMOUS,-1,0); e[0]=1;
  pf("a=%p b=%p e=%p\n",a,b,e);
  marker("0");
  static const char*script[]={"0f1","1f2","2f3","1w0 1x0","2f4","4w1 4b0","4f5","2x0","3f6","6w2","0f7 7u3","7f8","3x0 6f9","9u5 9p1","5x0 0w6",0};
  for(int i=0;script[i];i++){ char m[8]; for(const char*s=script[i];*s;s+=3){ go(s[0]-'0',s[1],s[2]-'0'); if(s[3]!=' ')break; s++; } snprintf(m,8,"%d",i+1); marker(m); }
  off();
}
