// What only a GPU can do; tests put the same functions in its place, written for a processor.
#define KERNEL(threads, members) __global__ void __cluster_dims__(members, 1, 1) __launch_bounds__(threads, 1)
#define FUNCTION __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#define THREAD ((int)threadIdx.x)
#define BLOCK ((int)blockIdx.x)
typedef uint4 Words;
typedef float2 Two;

FUNCTION void barrier() { __syncthreads(); }
FUNCTION void some(int which, int threads) { asm volatile("bar.sync %0, %1;" :: "r"(which), "r"(threads) : "memory"); }

FUNCTION float fast_tanh(float x) { float y; asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x)); return y; }

// Two numbers as float16, the largest of those in place of what is beyond it; and back.
FUNCTION unsigned halve(float low, float high) {
  unsigned both;
  asm("{ cvt.rn.f16x2.f32 %0, %1, %2; min.NaN.f16x2 %0, %0, %3; max.NaN.f16x2 %0, %0, %4; }"
    : "=&r"(both) : "f"(high), "f"(low), "r"(0x7bff7bffu), "r"(0xfbfffbffu));
  return both;
}
FUNCTION void widen(unsigned both, float* out) {
  asm("{ .reg .f16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high; }"
    : "=f"(out[0]), "=f"(out[1]) : "r"(both));
}

FUNCTION void fetch(const void* place) { asm volatile("prefetch.global.L2 [%0];" :: "l"(place)); }
FUNCTION void row() { __syncwarp(); }

FUNCTION void raise(unsigned* flag) { asm volatile("red.release.gpu.global.add.u32 [%0], 1;" :: "l"(flag) : "memory"); }
FUNCTION void await(const unsigned* flag, unsigned count) {
  unsigned now;
  if ((threadIdx.x & 31) == 0)
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(flag) : "memory"); while (now < count);
  __syncwarp();
}

FUNCTION unsigned near(const void* place) { return (unsigned)__cvta_generic_to_shared(place); }
FUNCTION unsigned far(const void* place, int member) {
  unsigned there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(near(place)), "r"(member));
  return there;
}
FUNCTION void hang(void* bell) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(near(bell)) : "memory");
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(near(bell) + 8) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
FUNCTION void gather() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
FUNCTION void shown() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
FUNCTION void parcel(const void* place, const void* from, int bytes, const void* bell, int member) {
  asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
    :: "r"(far(place, member)), "r"(near(from)), "r"(bytes), "r"(far(bell, member)) : "memory");
}
FUNCTION void expect(void* bell, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(near(bell)), "r"(bytes) : "memory");
}
FUNCTION void listen(void* bell, int phase) {
  unsigned done;
  do asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
    : "=r"(done) : "r"(near(bell)), "r"(phase) : "memory"); while (!done);
}

template <bool half> FUNCTION unsigned pack(float low, float high) {
  unsigned word;
  if (half) asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  else asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}

template <bool half> FUNCTION void mma(float* d, const unsigned* a, unsigned b0, unsigned b1) {
  if (half) asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
