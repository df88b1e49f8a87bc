/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vDSO: the code that the kernel maps into every program (Linux: arch/x86/entry/vdso and lib/vdso).
 *
 * It answers the time calls from the [vvar] page, which lies four pages below the image, without entering the
 * kernel. The page's layout is Linux's struct vdso_data; update_vsyscall() in vdso.py writes it. A clock that the
 * page knows nothing about goes to the real system call.
 */

typedef unsigned int u32;
typedef int s32;
typedef unsigned long u64;
typedef long s64;

#define VDSO_BASES 12 /* CLOCK_TAI + 1 */
#define NSEC_PER_SEC 1000000000UL

#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCK_MONOTONIC_RAW 4
#define CLOCK_REALTIME_COARSE 5
#define CLOCK_MONOTONIC_COARSE 6
#define CLOCK_BOOTTIME 7
#define CLOCK_TAI 11

#define BIT(nr) (1u << (nr))
#define VDSO_HRES (BIT(CLOCK_REALTIME) | BIT(CLOCK_MONOTONIC) | BIT(CLOCK_BOOTTIME) | BIT(CLOCK_TAI))
#define VDSO_COARSE (BIT(CLOCK_REALTIME_COARSE) | BIT(CLOCK_MONOTONIC_COARSE))
#define VDSO_RAW BIT(CLOCK_MONOTONIC_RAW)

#define CS_HRES_COARSE 0
#define CS_RAW 1
#define VDSO_CLOCKMODE_NONE 0

#define LOW_RES_NSEC 4000000 /* a tick at CONFIG_HZ=250 */

#define __NR_gettimeofday 96
#define __NR_time 201
#define __NR_clock_gettime 228
#define __NR_clock_getres 229

#define alias(name) __attribute__((weak, alias(#name)))

struct timespec { s64 tv_sec, tv_nsec; };
struct timeval { s64 tv_sec, tv_usec; };
struct timezone { s32 tz_minuteswest, tz_dsttime; };

struct vdso_timestamp { u64 sec, nsec; };

struct vdso_data {
	u32 seq;          /* odd while the kernel writes */
	s32 clock_mode;   /* 0: cycles cannot be read here */
	u64 cycle_last;
	u64 mask;
	u32 mult, shift;  /* ns = cycles * mult >> shift */
	struct vdso_timestamp basetime[VDSO_BASES]; /* nsec is shifted left by `shift`, but for the coarse clocks */
	s32 tz_minuteswest, tz_dsttime;
	u32 hrtimer_res, unused;
};

/* Placed by the linker script in the first vvar page, 128 bytes from its start. */
extern struct vdso_data _vdso_data[2] __attribute__((visibility("hidden")));

static inline u64 rdtsc_ordered(void)
{
	u32 low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

static inline long syscall2(long nr, long a, long b)
{
	__asm__ volatile("syscall" : "+a"(nr) : "D"(a), "S"(b) : "rcx", "r11", "memory");
	return nr;
}

static inline u32 read_begin(const volatile struct vdso_data *vd)
{
	u32 seq;

	while ((seq = vd->seq) & 1)
		__asm__ volatile("pause");
	__asm__ volatile("" : : : "memory");
	return seq;
}

static inline int read_retry(const volatile struct vdso_data *vd, u32 seq)
{
	__asm__ volatile("" : : : "memory");
	return vd->seq != seq;
}

static int do_hres(const struct vdso_data *vd, u32 clk, struct timespec *ts)
{
	u64 ns, sec, cycles;
	u32 seq;

	do {
		seq = read_begin(vd);
		if (vd->clock_mode == VDSO_CLOCKMODE_NONE)
			return -1;
		cycles = rdtsc_ordered();
		ns = vd->basetime[clk].nsec;
		if (cycles > vd->cycle_last)
			ns += (cycles - vd->cycle_last) * vd->mult;
		ns >>= vd->shift;
		sec = vd->basetime[clk].sec;
	} while (read_retry(vd, seq));

	for (; ns >= NSEC_PER_SEC; ns -= NSEC_PER_SEC)
		sec++;
	ts->tv_sec = sec;
	ts->tv_nsec = ns;
	return 0;
}

static void do_coarse(const struct vdso_data *vd, u32 clk, struct timespec *ts)
{
	u32 seq;

	do {
		seq = read_begin(vd);
		ts->tv_sec = vd->basetime[clk].sec;
		ts->tv_nsec = vd->basetime[clk].nsec;
	} while (read_retry(vd, seq));
}

int __vdso_clock_gettime(s32 clock, struct timespec *ts)
{
	u32 clk = clock, msk = clk < VDSO_BASES ? BIT(clk) : 0;

	if (msk & VDSO_COARSE) {
		do_coarse(&_vdso_data[CS_HRES_COARSE], clk, ts);
		return 0;
	}
	if (msk & (VDSO_HRES | VDSO_RAW))
		if (!do_hres(&_vdso_data[msk & VDSO_RAW ? CS_RAW : CS_HRES_COARSE], clk, ts))
			return 0;
	return syscall2(__NR_clock_gettime, clock, (long)ts);
}

int __vdso_clock_getres(s32 clock, struct timespec *res)
{
	u32 clk = clock, msk = clk < VDSO_BASES ? BIT(clk) : 0;
	s64 ns;

	if (msk & (VDSO_HRES | VDSO_RAW))
		ns = _vdso_data[CS_HRES_COARSE].hrtimer_res;
	else if (msk & VDSO_COARSE)
		ns = LOW_RES_NSEC;
	else
		return syscall2(__NR_clock_getres, clock, (long)res);
	if (res) {
		res->tv_sec = 0;
		res->tv_nsec = ns;
	}
	return 0;
}

int __vdso_gettimeofday(struct timeval *tv, struct timezone *tz)
{
	const struct vdso_data *vd = &_vdso_data[CS_HRES_COARSE];
	struct timespec ts;

	if (tv) {
		if (do_hres(vd, CLOCK_REALTIME, &ts))
			return syscall2(__NR_gettimeofday, (long)tv, (long)tz);
		tv->tv_sec = ts.tv_sec;
		tv->tv_usec = (u32)ts.tv_nsec / 1000;
	}
	if (tz) {
		tz->tz_minuteswest = vd->tz_minuteswest;
		tz->tz_dsttime = vd->tz_dsttime;
	}
	return 0;
}

s64 __vdso_time(s64 *t)
{
	s64 sec = *(const volatile u64 *)&_vdso_data[CS_HRES_COARSE].basetime[CLOCK_REALTIME].sec;

	if (t)
		*t = sec;
	return sec;
}

/* One CPU, one node. Linux reads both from a segment limit (lsl) or with rdpid. */
long __vdso_getcpu(u32 *cpu, u32 *node, void *unused)
{
	(void)unused;
	if (cpu)
		*cpu = 0;
	if (node)
		*node = 0;
	return 0;
}

int clock_gettime(s32, struct timespec *) alias(__vdso_clock_gettime);
int clock_getres(s32, struct timespec *) alias(__vdso_clock_getres);
int gettimeofday(struct timeval *, struct timezone *) alias(__vdso_gettimeofday);
s64 time(s64 *) alias(__vdso_time);
long getcpu(u32 *, u32 *, void *) alias(__vdso_getcpu);
