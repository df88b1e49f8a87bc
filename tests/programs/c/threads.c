#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_mutex_t m=PTHREAD_MUTEX_INITIALIZER; static pthread_cond_t c=PTHREAD_COND_INITIALIZER;
static int queue[16], head, tail, count, done; static long sum, total;
static __thread int mine;
static void *prod(void*a){ for(int i=1;i<=500;i++){ pthread_mutex_lock(&m); while(count==16) pthread_cond_wait(&c,&m); queue[head]=i+(long)a*1000; head=(head+1)%16; count++; pthread_cond_broadcast(&c); pthread_mutex_unlock(&m); mine++; } return (void*)(long)mine; }
static void *cons(void*a){ long n=0; for(;;){ pthread_mutex_lock(&m); while(!count&&!done) pthread_cond_wait(&c,&m); if(!count){ pthread_mutex_unlock(&m); break;} sum+=queue[tail]; tail=(tail+1)%16; count--; n++; pthread_cond_broadcast(&c); pthread_mutex_unlock(&m);} __atomic_add_fetch(&total,n,__ATOMIC_SEQ_CST); return 0; }
static pthread_barrier_t b; static pthread_once_t o=PTHREAD_ONCE_INIT; static int onces; static void once(void){onces++;}
static pthread_key_t key; static int destroyed; static void dtor(void*p){ __atomic_add_fetch(&destroyed,1,__ATOMIC_SEQ_CST);}
static void *bar(void*a){ pthread_once(&o,once); pthread_setspecific(key,(void*)1); int r=pthread_barrier_wait(&b); return (void*)(long)(r==PTHREAD_BARRIER_SERIAL_THREAD); }
static volatile int spin; static void*spinner(void*a){ while(!spin); return 0;}
int main(){ pthread_t p[3],q[2],t[4]; void*r; long s=0;
 for(long i=0;i<3;i++) pthread_create(p+i,0,prod,(void*)i); for(int i=0;i<2;i++) pthread_create(q+i,0,cons,0);
 for(int i=0;i<3;i++){ pthread_join(p[i],&r); s+=(long)r; }
 pthread_mutex_lock(&m); done=1; pthread_cond_broadcast(&c); pthread_mutex_unlock(&m);
 for(int i=0;i<2;i++) pthread_join(q[i],0);
 printf("produced %ld consumed %ld sum %ld\n",s,total,sum);
 pthread_key_create(&key,dtor); pthread_barrier_init(&b,0,4); long serial=0; for(int i=0;i<4;i++) pthread_create(t+i,0,bar,0); for(int i=0;i<4;i++){pthread_join(t[i],&r);serial+=(long)r;}
 printf("serial %ld once %d destroyed %d\n",serial,onces,destroyed);
 pthread_create(t,0,spinner,0); usleep(1000); spin=1; pthread_join(t[0],0);
 struct timespec ts; clock_gettime(CLOCK_REALTIME,&ts); ts.tv_nsec+=1000000; if(ts.tv_nsec>=1000000000){ts.tv_sec++;ts.tv_nsec-=1000000000;} pthread_mutex_lock(&m); int e=pthread_cond_timedwait(&c,&m,&ts); printf("timed %d\n",e); pthread_mutex_unlock(&m);
 pthread_t d; pthread_create(&d,0,spinner,0); pthread_detach(d); pthread_create(&d,0,(void*(*)(void*))pause,0); pthread_cancel(d); pthread_join(d,&r); printf("cancelled %d\n",r==PTHREAD_CANCELED); 
 return 5; }
