/* Pipes, socket pairs and listeners, eventfd, poll, select, epoll: results and errno, alone and between processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char buf[1 << 20];

#define say(what, call) do { errno = 0; long r_ = (call); printf("%s: %ld %d\n", what, r_, r_ < 0 ? errno : 0); fflush(stdout); } while (0)

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int sig)
{
	sigpipes++;
}

static long fill(int fd, size_t chunk)
{
	long sum = 0, n;
	while ((n = write(fd, buf, chunk)) > 0)
		sum += n;
	return sum;
}

static long waiting(int fd)
{
	int n = -1;
	ioctl(fd, FIONREAD, &n);
	return n;
}

static int ready(int fd, int events)
{
	struct pollfd p = {fd, events, 0};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static void pipes(void)
{
	int p[2], q[2];
	struct stat st;
	say("pipe2 flags", pipe2(p, 1));
	say("pipe2 fault", pipe2((int *)8, 0));
	pipe2(p, O_NONBLOCK);
	fstat(p[0], &st);
	printf("mode %o size %ld same %d\n", st.st_mode, (long)st.st_size, (int)(st.st_nlink));
	say("getfl", fcntl(p[1], F_GETFL));
	say("read empty", read(p[0], buf, 10));
	say("read nothing", read(p[0], buf, 0));
	say("write to the reading end", write(p[0], buf, 1));
	say("read from the writing end", read(p[1], buf, 1));
	say("seek", lseek(p[0], 0, SEEK_SET));
	say("pread", pread(p[0], buf, 1, 0));
	say("size", fcntl(p[0], F_GETPIPE_SZ));
	for (int chunk = 37; chunk <= 70000; chunk = chunk * 5 + 3) {
		printf("%d: fill %ld, ", chunk, fill(p[1], chunk));
		printf("waiting %ld\n", waiting(p[0]));
		printf("   ready %x %x\n", ready(p[0], POLLIN | POLLOUT), ready(p[1], POLLIN | POLLOUT));
		say("   one page out", read(p[0], buf, 4096));
		say("   4097 in", write(p[1], buf, 4097));
		say("   4096 in", write(p[1], buf, 4096));
		say("   all out", read(p[0], buf, sizeof(buf)));
	}
	say("set size", fcntl(p[0], F_SETPIPE_SZ, 10000));
	printf("fill %ld\n", fill(p[1], 1000));
	say("too small", fcntl(p[0], F_SETPIPE_SZ, 4096));
	say("larger", fcntl(p[0], F_SETPIPE_SZ, 1 << 20));
	say("0", fcntl(p[0], F_SETPIPE_SZ, 1u << 31 | 1));
	read(p[0], buf, sizeof(buf));
	say("not a pipe", fcntl(open("/dev/null", 0), F_GETPIPE_SZ));
	/* The first hole ends a write; what is before it counts if whole pages. */
	char *hole = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(hole + 4096, 4096);
	say("bad buffer", write(p[1], hole + 4000, 200));
	/* Ends. */
	write(p[1], "last", 4);
	printf("ready %x\n", ready(p[0], POLLIN));
	close(p[1]);
	printf("ready %x\n", ready(p[0], POLLIN));
	say("last", read(p[0], buf, 10));
	say("end", read(p[0], buf, 10));
	printf("ready %x\n", ready(p[0], POLLIN));
	close(p[0]);
	pipe(p);
	close(p[0]);
	printf("ready %x\n", ready(p[1], POLLOUT));
	say("no reader", write(p[1], "x", 1));
	say("no reader, nothing", write(p[1], "x", 0));
	printf("sigpipes %d\n", (int)sigpipes);
	close(p[1]);
	/* Packets. */
	pipe2(p, O_DIRECT | O_NONBLOCK);
	write(p[1], "first", 5);
	write(p[1], "second", 6);
	say("packet", read(p[0], buf, 3));
	say("packet", read(p[0], buf, 100));
	close(p[0]);
	close(p[1]);
	/* A child copies backwards what the parent sends. */
	pipe(p);
	pipe(q);
	if (!fork()) {
		close(p[1]);
		long n, sum = 0;
		while ((n = read(p[0], buf, 3000)) > 0) {
			for (long i = 0; i < n; i++)
				sum = sum * 31 + buf[i];
			sum &= 0xffffff;
		}
		write(q[1], &sum, sizeof(sum));
		_exit(0);
	}
	for (int i = 0; i < 200000; i++)
		buf[i] = i * 7;
	say("200000 bytes", write(p[1], buf, 200000));
	close(p[1]);
	long sum;
	read(q[0], &sum, sizeof(sum));
	printf("sum %lx\n", sum);
	wait(0);
	char name[64], link[64] = "";
	snprintf(name, sizeof(name), "/proc/self/fd/%d", q[0]);
	readlink(name, link, 5);
	printf("link %s\n", link);
}

static void sockets(void)
{
	int s[2], kind[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	for (int i = 0; i < 3; i++) {
		say("socketpair", socketpair(AF_UNIX, kind[i] | SOCK_NONBLOCK, 0, s));
		say(" empty", read(s[0], buf, 10));
		write(s[0], "hello", 5);
		write(s[0], "world", 5);
		printf(" waiting %ld ready %x %x\n", waiting(s[1]), ready(s[0], POLLIN | POLLOUT), ready(s[1], POLLIN | POLLOUT));
		say(" peek", recv(s[1], buf, 3, MSG_PEEK));
		say(" trunc", recv(s[1], buf, 3, MSG_PEEK | MSG_TRUNC));
		say(" read 3", read(s[1], buf, 3));
		say(" read 10", read(s[1], buf, 10));
		say(" read 10", read(s[1], buf, 10));
		say(" name", sendto(s[0], "x", 1, 0, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "\0nobody"}, 9));
		while (recv(s[1], buf, sizeof(buf), 0) > 0)
			;
		say(" shutdown", shutdown(s[0], SHUT_WR));
		say(" read after", read(s[1], buf, 10));
		say(" write after", send(s[0], "x", 1, MSG_NOSIGNAL));
		say(" write back", write(s[1], "back", 4));
		say(" read back", read(s[0], buf, 10));
		printf(" ready %x %x\n", ready(s[0], POLLIN | POLLOUT | POLLRDHUP), ready(s[1], POLLIN | POLLOUT | POLLRDHUP));
		write(s[1], "unread", 6);
		close(s[0]);
		printf(" ready %x\n", ready(s[1], POLLIN | POLLOUT | POLLRDHUP) & ~POLLERR);
		say(" reset", read(s[1], buf, 10));
		say(" then", read(s[1], buf, 10));
		say(" write", write(s[1], "x", 1));
		close(s[1]);
	}
	printf("sigpipes %d\n", (int)sigpipes);
	say("inet socketpair", socketpair(AF_UNIX, 99, 0, s));
	say("protocol", socket(AF_UNIX, SOCK_STREAM, 7));
	say("not a socket", getpeername(0, (struct sockaddr *)buf, &(socklen_t){100}));
}

static void server(void)
{
	struct sockaddr_un addr = {AF_UNIX, "\0mmscope-plumbing"};
	snprintf(addr.sun_path + 1, 100, "mmscope-plumbing-%d", (int)getpid());
	socklen_t len = sizeof(addr), got = sizeof(addr);
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c, s;
	say("accept before", accept(l, 0, 0));
	say("listen before", listen(l, 5));
	say("bind", bind(l, (struct sockaddr *)&addr, len));
	say("bind again", bind(l, (struct sockaddr *)&addr, len));
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	say("refused", connect(c, (struct sockaddr *)&addr, len));
	say("no file", connect(c, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "/nowhere/at/all"}, len));
	say("in use", bind(c, (struct sockaddr *)&addr, len));
	say("listen", listen(l, 2));
	int *counter = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 3; i++)
		if (!fork()) {
			for (;;) {
				int one = accept4(l, 0, 0, SOCK_CLOEXEC);
				long n = read(one, buf, 100);
				if (n == 4)
					_exit(0);
				__atomic_add_fetch(counter, n, __ATOMIC_SEQ_CST);
				write(one, buf, n);
				close(one);
			}
		}
	for (int i = 0; i < 20; i++) {
		c = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(c, (struct sockaddr *)&addr, len))
			perror("connect");
		write(c, "request", 7);
		if (read(c, buf, 100) != 7)
			puts("short");
		close(c);
	}
	printf("counter %d\n", *counter);
	for (int i = 0; i < 3; i++) {
		c = socket(AF_UNIX, SOCK_STREAM, 0);
		connect(c, (struct sockaddr *)&addr, len);
		write(c, "stop", 4);
	}
	while (wait(0) > 0)
		;
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	say("connect", connect(c, (struct sockaddr *)&addr, len));
	say("connect again", connect(c, (struct sockaddr *)&addr, len));
	printf("listener ready %x\n", ready(l, POLLIN));
	s = accept(l, (struct sockaddr *)&addr, &got);
	printf("peer's name %d\n", (int)got);
	got = sizeof(addr);
	say("name", getsockname(s, (struct sockaddr *)&addr, &got));
	printf("%d %.16s\n", got > 20, addr.sun_path + 1);
	struct ucred cred;
	got = sizeof(cred);
	getsockopt(s, SOL_SOCKET, SO_PEERCRED, &cred, &got);
	printf("cred %d %d %d\n", cred.pid == getpid(), cred.uid == geteuid(), (int)got);
	/* A descriptor on its way. */
	int p[2];
	pipe(p);
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {"fd", 2};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &p[1], sizeof(int));
	say("sendmsg", sendmsg(c, &msg, 0));
	close(p[1]);
	struct iovec in = {buf, 100};
	struct msghdr back = {.msg_iov = &in, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	say("recvmsg", recvmsg(s, &back, MSG_CMSG_CLOEXEC));
	int fd = -1;
	cm = CMSG_FIRSTHDR(&back);
	if (cm)
		memcpy(&fd, CMSG_DATA(cm), sizeof(int));
	say("through it", write(fd, "passed", 6));
	say("flags", fcntl(fd, F_GETFD));
	say("other end", read(p[0], buf, 10));
	int type;
	got = sizeof(type);
	getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &got);
	printf("type %d\n", type);
	close(c);
	say("peer gone", read(s, buf, 1));
	say("getpeername", getpeername(l, (struct sockaddr *)&addr, &got));
}

static void events(void)
{
	uint64_t v;
	int e = eventfd(3, EFD_NONBLOCK), s = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
	say("short", read(e, buf, 7));
	read(e, &v, 8);
	printf("value %lu\n", (unsigned long)v);
	say("empty", read(e, &v, 8));
	v = -1;
	say("too much", write(e, &v, 8));
	v = -2;
	say("most", write(e, &v, 8));
	printf("ready %x\n", ready(e, POLLIN | POLLOUT));
	v = 1;
	say("full", write(e, &v, 8));
	read(s, &v, 8);
	printf("semaphore %lu\n", (unsigned long)v);
	read(s, &v, 8);
	say("semaphore", read(s, &v, 8));
	say("flags", eventfd(0, 0x100));
	/* epoll */
	int ep = epoll_create1(0), p[2];
	struct epoll_event ev = {EPOLLIN, {.u64 = 77}}, out[4];
	pipe(p);
	say("epoll flags", epoll_create1(1));
	say("add", epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	say("add again", epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev));
	say("mod unknown", epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &ev));
	say("del unknown", epoll_ctl(ep, EPOLL_CTL_DEL, p[1], &ev));
	say("itself", epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev));
	say("regular file", epoll_ctl(ep, EPOLL_CTL_ADD, open("/proc/self/exe", 0), &ev));
	say("wait none", epoll_wait(ep, out, 4, 0));
	say("wait 0 events", epoll_wait(ep, out, 0, 0));
	write(p[1], "ab", 2);
	say("wait", epoll_wait(ep, out, 4, -1));
	printf("%x %lu\n", out[0].events, (unsigned long)out[0].data.u64);
	say("level", epoll_wait(ep, out, 4, 0));
	printf("epoll file ready %x\n", ready(ep, POLLIN));
	ev.events = EPOLLIN | EPOLLET;
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev);
	say("edge", epoll_wait(ep, out, 4, 0));
	say("edge again", epoll_wait(ep, out, 4, 0));
	ev.events = EPOLLIN | EPOLLONESHOT;
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev);
	say("oneshot", epoll_wait(ep, out, 4, 0));
	say("oneshot again", epoll_wait(ep, out, 4, 0));
	int outer = epoll_create1(0);
	ev.events = EPOLLIN;
	epoll_ctl(outer, EPOLL_CTL_ADD, ep, &ev);
	say("loop", epoll_ctl(ep, EPOLL_CTL_ADD, outer, &ev));
	say("outer", epoll_wait(outer, out, 4, 0));
	epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev);
	say("outer", epoll_wait(outer, out, 4, 0));
	read(p[0], buf, 100);
	say("outer drained", epoll_wait(outer, out, 4, 0));
	if (!fork()) {
		usleep(2000);
		write(p[1], "z", 1);
		_exit(0);
	}
	say("woken", epoll_wait(outer, out, 4, 5000));
	wait(0);
	close(p[1]);
	say("hangup", epoll_wait(ep, out, 4, 0));
	printf("%x\n", out[0].events);
	close(p[0]);
	say("closed", epoll_wait(ep, out, 4, 0));
	/* poll and select across processes */
	int a[2], b[2];
	pipe(a);
	pipe(b);
	if (!fork()) {
		usleep(3000);
		write(b[1], "b", 1);
		_exit(0);
	}
	struct pollfd pf[3] = {{a[0], POLLIN, 0}, {b[0], POLLIN, 0}, {-1, POLLIN, 9}};
	say("poll", poll(pf, 3, 10000));
	printf("%x %x %x\n", pf[0].revents, pf[1].revents, pf[2].revents);
	wait(0);
	pf[2].fd = 999;
	say("poll nval", poll(pf, 3, 0));
	printf("%x\n", pf[2].revents);
	fd_set in, o;
	FD_ZERO(&in);
	FD_ZERO(&o);
	FD_SET(a[0], &in);
	FD_SET(b[0], &in);
	FD_SET(a[1], &o);
	struct timeval tv = {1, 0};
	say("select", select(b[1] + 1, &in, &o, 0, &tv));
	printf("%d %d %d\n", FD_ISSET(a[0], &in) != 0, FD_ISSET(b[0], &in) != 0, FD_ISSET(a[1], &o) != 0);
	FD_ZERO(&in);
	FD_SET(a[0], &in);
	tv.tv_sec = 0;
	tv.tv_usec = 2000;
	say("select timeout", select(a[0] + 1, &in, 0, 0, &tv));
	printf("left %ld\n", (long)tv.tv_usec);
	int closed = dup(0);
	close(closed);
	FD_SET(closed, &in);
	say("select bad", select(closed + 1, &in, 0, 0, &tv));
}

int main(void)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, on_sigpipe);
	pipes();
	sockets();
	server();
	events();
	return 0;
}
