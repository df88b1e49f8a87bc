// System V shared memory: attachments, rights, removal, SHM_LOCK.
#include "files.h"
static void st(int id) {
  struct shmid_ds d;
  if (shmctl(id, IPC_STAT, &d)) {
    say("stat %s\n", strerrorname_np(errno));
    return;
  }
  say("key %x uid %d gid %d cuid %d mode %o size %ld natt %ld cpid %d lpid %d at %d dt %d ct %d\n", d.shm_perm.__key,
      d.shm_perm.uid, d.shm_perm.gid, d.shm_perm.cuid, d.shm_perm.mode, (long)d.shm_segsz, (long)d.shm_nattch,
      d.shm_cpid == getpid(), d.shm_lpid == getpid(), d.shm_atime != 0, d.shm_dtime != 0, d.shm_ctime != 0);
}
static void proc(int id) {
  FILE *f = fopen("/proc/sysvipc/shm", "r");
  char l[400];
  if (!f) {
    say("no sysvipc\n");
    return;
  }
  while (fgets(l, 400, f)) {
    int k, i, p, n;
    long sz;
    if (sscanf(l, "%d %d %o %ld", &k, &i, &p, &sz) == 4 && i == id) say("proc %d %o %ld len %d\n", k, p, sz, (int)strlen(l));
    if (strstr(l, "shmid")) say("%s", l);
  }
  fclose(f);
}
int main(int c, char **v) {
  if (!start(c, v, "segments")) return 1;
  int id = shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600);
  st(id);
  proc(id);
  char *a = shmat(id, 0, 0);
  st(id);
  char *b = shmat(id, 0, SHM_RDONLY);
  a[0] = 7;
  say("%d\n", b[0]);
  S(mprotect(b, 4096, 3));
  S(mprotect(b, 4096, 5));
  st(id);
  S(shmdt(b));
  S(shmdt(b));
  S(shmdt(a + 4096));
  S(shmctl(id, SHM_LOCK, 0));
  st(id);
  proc(id);
  S(shmctl(id, SHM_UNLOCK, 0));
  st(id);
  S(shmctl(id, IPC_RMID, 0));
  st(id);
  b = shmat(id, 0, 0);
  S(b == (void *)-1);
  st(id);
  S(shmget(IPC_PRIVATE, 0, 0600));
  S(shmctl(id, IPC_RMID, 0));
  if (b != (void *)-1) shmdt(b);
  if (fork() == 0) {
    st(id);
    shmdt(a);
    st(id);
    _exit(0);
  }
  wait(0);
  st(id);
  shmdt(a);
  st(id);
  S(shmat(id, 0, 0) == (void *)-1);
  S(shmctl(id, IPC_RMID, 0));
  key_t k = 0x1234567;
  S(shmget(k, 4096, 0));
  id = shmget(k, 4096, IPC_CREAT | 0640);
  S(id >= 0);
  S(shmget(k, 4096, IPC_CREAT | 0640) == id);
  S(shmget(k, 4096, IPC_CREAT | IPC_EXCL | 0640));
  S(shmget(k, 8192, 0));
  S(shmget(k, 4097, 0));
  S(shmget(k, 0, 0) == id);
  S(shmget(k, 100, 0) == id);
  S(shmget(k, 4096, 0777) == id);
  S(shmat(id, (void *)0x10000100, 0) == (void *)-1);
  S(shmat(id, (void *)0x10000100, SHM_RND) == (void *)0x10000000);
  S(shmat(id, (void *)0x10000000, 0) == (void *)-1);
  S(shmat(id, (void *)0x10000000, SHM_REMAP) == (void *)0x10000000);
  S(shmat(id, 0, SHM_REMAP) == (void *)-1);
  S(shmat(id, (void *)0x100, SHM_RND) == (void *)-1);
  S(shmat(id, 0, SHM_EXEC) == (void *)-1);
  S(shmat(-1, 0, 0) == (void *)-1);
  S(shmat(id + 32768, 0, 0) == (void *)-1);
  S(shmat(99999, 0, 0) == (void *)-1);
  st(id);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    S(shmat(id, 0, 0) == (void *)-1);
    S(shmat(id, 0, SHM_RDONLY) == (void *)-1);
    S(shmget(k, 0, 0) >= 0);
    S(shmget(k, 0, 0444));
    S(shmget(k, 0, 0004));
    st(id);
    S(shmctl(id, IPC_RMID, 0));
    S(shmctl(id, IPC_SET, (struct shmid_ds[1]){}));
    S(shmctl(id, SHM_LOCK, 0));
    _exit(0);
  }
  wait(0);
  struct shmid_ds d;
  shmctl(id, IPC_STAT, &d);
  d.shm_perm.mode = 0604;
  d.shm_perm.uid = 1000;
  S(shmctl(id, IPC_SET, &d));
  st(id);
  if (fork() == 0) {
    setgid(1000);
    setuid(1000);
    S(shmat(id, 0, 0) == (void *)-1);
    st(id);
    S(shmctl(id, SHM_LOCK, 0));
    st(id);
    S(shmctl(id, SHM_UNLOCK, 0));
    S(shmctl(id, IPC_RMID, 0));
    st(id);
    _exit(0);
  }
  wait(0);
  S(shmctl(id, 99, 0));
  S(shmctl(-1, IPC_STAT, &d));
  S(shmctl(id, IPC_STAT, (void *)8));
  struct shminfo si;
  S(shmctl(0, IPC_INFO, (void *)&si) >= 0);
  say("%lu %lu %lu %lu %lu\n", si.shmmax, si.shmmin, si.shmmni, si.shmseg, si.shmall);
  struct shm_info in;
  S(shmctl(0, SHM_INFO, (void *)&in) >= 0);
  id = shmget(IPC_PRIVATE, 3 * 4096, 0600 | SHM_NORESERVE);
  a = shmat(id, 0, 0);
  munmap(a + 4096, 4096);
  st(id);
  S(shmdt(a));
  st(id);
  a = shmat(id, 0, 0);
  S(mremap(a, 3 * 4096, 6 * 4096, MREMAP_MAYMOVE) != MAP_FAILED);
  st(id);
  shmctl(id, IPC_RMID, 0);
  S(shmget(IPC_PRIVATE, 1L << 62, 0600));
  S(shmget(IPC_PRIVATE, 4096, 0600 | SHM_HUGETLB));
  S(shmget(IPC_PRIVATE, -1, 0600));
  id = shmget(IPC_PRIVATE, 8192, 0600);
  a = shmat(id, 0, 0);
  a[0] = 1;
  S(madvise(a, 8192, MADV_REMOVE));
  say("%d\n", a[0]);
  S(madvise(a, 8192, MADV_DONTFORK));
  if (fork() == 0) {
    st(id);
    _exit(0);
  }
  wait(0);
  shmctl(id, IPC_RMID, 0);
  return 0;
}
