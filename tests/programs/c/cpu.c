// Instructions that compilers and C libraries use: integers, strings, x87, SSE up to 4.2.
#include <stdio.h>
#include <string.h>
#include <stdint.h>
#include <math.h>
#include <fenv.h>
#include <nmmintrin.h>
#include <stdatomic.h>
typedef unsigned __int128 u128;
__attribute__((target("cx16,sse4.2,popcnt"))) int main(void) {
  __attribute__((aligned(16))) static u128 v = ((u128)7 << 64) | 9;
  uint64_t lo = 9, hi = 7;
  unsigned char ok;
  asm volatile("lock cmpxchg16b %1; setz %0" : "=q"(ok), "+m"(v), "+a"(lo), "+d"(hi) : "b"(1UL), "c"(2UL));
  printf("%d %lx %lx\n", ok, (long)(v >> 64), (long)v);
  asm volatile("lock cmpxchg16b %1; setz %0" : "=q"(ok), "+m"(v), "+a"(lo), "+d"(hi) : "b"(5UL), "c"(6UL));
  printf("%d %lx %lx\n", ok, lo, hi);
  _Atomic int a = 5;
  printf("%d %d %d %d %d\n", atomic_fetch_add(&a, 3), atomic_exchange(&a, 10), atomic_fetch_or(&a, 5), atomic_fetch_xor(&a, 3),
         a);
  int e = 12;
  printf("%d %d\n", atomic_compare_exchange_strong(&a, &e, 99), a);
  u128 x = ((u128)0x123456789abcdef0 << 64) | 0xfedcba9876543210;
  u128 y = x * x, q = x / 1234567, r = x % 1234567;
  printf("%lx%016lx %lx%016lx %lx\n", (long)(y >> 64), (long)y, (long)(q >> 64), (long)q, (long)r);
  uint64_t w = 0x00f0a00000001234;
  printf("%d %d %d %lx\n", __builtin_ctzl(w), __builtin_clzl(w), (int)_mm_popcnt_u64(w), __builtin_bswap64(w));
  uint32_t c = 0;
  for (int i = 0; i < 10; i++) c = _mm_crc32_u32(c, i * 77);
  printf("%x %lx\n", c, (long)_mm_crc32_u64(1, w));
  uint64_t s = w, t = 0x1111;
  asm("shld $13,%1,%0" : "+r"(s) : "r"(t));
  printf("%lx ", s);
  asm("shrd $7,%1,%0" : "+r"(s) : "r"(t));
  printf("%lx ", s);
  asm("rcl $3,%0" : "+r"(s));
  asm("rol $9,%0" : "+r"(s));
  asm("bts $5,%0; btr $8,%0; btc $60,%0" : "+r"(s));
  printf("%lx\n", s & ~7);
  uint64_t fl;
  asm volatile("mov $0x7f,%%al; add $1,%%al; pushf; pop %0" : "=r"(fl)::"rax");
  printf("%lx\n", fl & 0x8d5);
  asm volatile("mov $5,%%eax; sub $6,%%eax; sbb %%ebx,%%ebx; mov %%rbx,%0" : "=r"(fl)::"rax", "rbx");
  printf("%lx\n", fl);
  asm volatile("mov $0x1234,%%eax; xadd %%eax,%0" : "+m"(a)::"rax");
  printf("%d\n", a);
  char b1[100] = "the quick brown fox", b2[100] = {0};
  void *d = b2, *sr = b1;
  long n = 20;
  asm volatile("rep movsb" : "+D"(d), "+S"(sr), "+c"(n)::"memory");
  printf("%s ", b2);
  d = b2;
  n = 5;
  asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"('z') : "memory");
  printf("%s ", b2);
  d = b1;
  n = 50;
  asm volatile("repne scasb" : "+D"(d), "+c"(n) : "a"('b'));
  printf("%ld ", n);
  d = b1;
  sr = b2;
  n = 20;
  asm volatile("repe cmpsb" : "+D"(d), "+S"(sr), "+c"(n));
  printf("%ld\n", n);
  asm volatile("std");
  d = b2 + 10;
  sr = b1 + 10;
  n = 6;
  asm volatile("rep movsb; cld" : "+D"(d), "+S"(sr), "+c"(n)::"memory");
  printf("%.12s\n", b2);
  long double ld = 1.0L;
  for (int i = 1; i < 25; i++) ld *= i / 3.0L;
  printf("%.18Lg %.18Lg %.18Lg\n", ld, sqrtl(ld), ld / 7);
  double dd;
  asm("fldpi; fldl2e; fmulp; fstpl %0" : "=m"(dd));
  printf("%.17g ", dd);
  asm("fldl %1; frndint; fldl %1; fsubp; fabs; fchs; fstpl %0" : "=m"(dd) : "m"(dd));
  printf("%.17g ", dd);
  asm("fldl %1; fxtract; fscale; fstp %%st(1); fstpl %0" : "=m"(dd) : "m"(dd));
  printf("%.17g\n", dd);
  unsigned short cw;
  asm("fnstcw %0" : "=m"(cw));
  printf("%x\n", cw);
  unsigned mx = _mm_getcsr();
  printf("%x\n", mx & 0xffc0);
  int mode[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  for (int i = 0; i < 4; i++) {
    fesetround(mode[i]);
    volatile double z = 1.0, y3 = 3.0;
    volatile float ff = 1e-3f;
    printf("%.17g %ld %.9g|", z / y3, lrint(2.5), ff * ff);
  }
  fesetround(FE_TONEAREST);
  puts("");
  __m128i p = _mm_setr_epi32(1, -2, 3, -4), q2 = _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  unsigned char o[16];
#define SHOW(v)                                                                                                                \
  do {                                                                                                                         \
    __m128i _t = (v);                                                                                                          \
    memcpy(o, &_t, 16);                                                                                                        \
    for (int i = 0; i < 16; i++) printf("%02x", o[i]);                                                                         \
    puts("");                                                                                                                  \
  } while (0)
  SHOW(_mm_shuffle_epi8(p, q2));
  SHOW(_mm_abs_epi32(p));
  SHOW(_mm_mullo_epi32(p, p));
  SHOW(_mm_packs_epi32(p, p));
  SHOW(_mm_unpacklo_epi16(p, q2));
  SHOW(_mm_sad_epu8(p, q2));
  SHOW(_mm_madd_epi16(p, q2));
  SHOW(_mm_cmpgt_epi64(p, q2));
  SHOW(_mm_alignr_epi8(p, q2, 5));
  SHOW(_mm_blendv_epi8(p, q2, p));
  SHOW(_mm_minpos_epu16(q2));
  SHOW(_mm_mpsadbw_epu8(p, q2, 3));
  SHOW(_mm_cvtepi8_epi64(p));
  SHOW(_mm_sll_epi64(p, _mm_cvtsi32_si128(7)));
  SHOW(_mm_srai_epi16(p, 3));
  SHOW(_mm_slli_si128(p, 3));
  SHOW(_mm_maddubs_epi16(q2, p));
  SHOW(_mm_hadd_epi32(p, q2));
  SHOW(_mm_sign_epi8(q2, p));
  SHOW(_mm_mulhrs_epi16(p, q2));
  SHOW(_mm_insert_epi8(p, 99, 7));
  printf("%d %d %d\n", _mm_extract_epi16(q2, 3), _mm_movemask_epi8(p), _mm_testz_si128(p, q2));
  __m128i s1 = _mm_loadu_si128((void *)"hello world 1234"), s2 = _mm_loadu_si128((void *)"wor\0............");
  printf("%d %d\n", _mm_cmpistri(s2, s1, _SIDD_CMP_EQUAL_ORDERED), _mm_cmpestri(s2, 2, s1, 16, _SIDD_CMP_EQUAL_ANY));
  SHOW(_mm_cmpistrm(s2, s1, _SIDD_CMP_RANGES | _SIDD_UNIT_MASK));
  __m128 f1 = _mm_setr_ps(1.5f, -2.25f, 1e10f, 0), f2 = _mm_setr_ps(3, 0.1f, -1e-10f, 5);
  float fo[4];
#define SHOWF(v)                                                                                                               \
  do {                                                                                                                         \
    _mm_storeu_ps(fo, (v));                                                                                                    \
    printf("%.7g %.7g %.7g %.7g\n", fo[0], fo[1], fo[2], fo[3]);                                                               \
  } while (0)
  SHOWF(_mm_add_ps(f1, f2));
  SHOWF(_mm_div_ps(f1, f2));
  SHOWF(_mm_sqrt_ps(f2));
  SHOWF(_mm_min_ps(f1, f2));
  SHOWF(_mm_dp_ps(f1, f2, 0x71));
  SHOWF(_mm_round_ps(f1, 1));
  SHOWF(_mm_hadd_ps(f1, f2));
  SHOWF(_mm_addsub_ps(f1, f2));
  SHOWF(_mm_shuffle_ps(f1, f2, 0x1b));
  SHOWF(_mm_insert_ps(f1, f2, 0x98));
  SHOW(_mm_cvtps_epi32(f1));
  SHOW(_mm_cvttps_epi32(f1));
  SHOW(_mm_castps_si128(_mm_cmplt_ps(f1, f2)));
  printf("%d %d %ld %ld\n", _mm_cvtss_si32(f1), _mm_comilt_ss(f1, f2), lrint(1e300), (long)(double)-1e30);
  char sb[16];
  asm volatile("cpuid" : "=a"(*(int *)sb), "=c"(c) : "a"(1), "c"(0) : "ebx", "edx");
  printf("%d %d %d\n", c >> 20 & 1, c >> 23 & 1, c >> 13 & 1);
  return 0;
}
