"""What every kernel's text begins with: the instructions of a GPU, and reading and writing by pairs of units.

`GPU` holds what only a GPU can do; a test puts the same functions in its place, written for a processor,
and runs the same kernel there. `COMMON` is built on them.
"""

GPU = r"""
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

FUNCTION void fetch(const float* place) { asm volatile("prefetch.global.L2 [%0];" :: "l"(place)); }
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
FUNCTION void send(const void* place, const unsigned char* from, const void* bell, int member) {
  const uint4 w = *(const uint4*)from;
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, [%5];"
    :: "r"(far(place, member)), "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w), "r"(far(bell, member)) : "memory");
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
"""

COMMON = r"""
FUNCTION float tanh_of(float x) { return fast_tanh(x); }
FUNCTION float logistic(float x) { return fmaf(0.5f, fast_tanh(0.5f * x), 0.5f); }
FUNCTION float most(float x, float y) { return x != x ? x : y != y ? y : x > y ? x : y; }
FUNCTION float least(float x, float y) { return x != x ? x : y != y ? y : x < y ? x : y; }
FUNCTION float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

template <bool even> FUNCTION void pair(const float* place, bool one, bool two, float* out) {
  if (even) {
    const Two both = one ? *(const Two*)place : Two{0.0f, 0.0f};
    out[0] = both.x; out[1] = both.y;
  } else {
    out[0] = one ? place[0] : 0.0f; out[1] = two ? place[1] : 0.0f;
  }
}

template <bool even> FUNCTION void write(float* place, bool one, bool two, const float* from) {
  if (even) {
    if (one) *(Two*)place = Two{from[0], from[1]};
  } else {
    if (one) place[0] = from[0];
    if (two) place[1] = from[1];
  }
}

// R of two neighbouring units and four units that they hear, as the matrix units take it.
template <bool half> FUNCTION void panel(unsigned* out, const float* r, int hidden, int columns, int row, int k, int unit) {
  float x[4][2];
  UNROLL for (int i = 0; i < 4; ++i) UNROLL for (int u = 0; u < 2; ++u)
    x[i][u] = k + i < hidden && unit + u < hidden ? r[(size_t)(row + k + i) * columns + unit + u] : 0.0f;
  out[0] = pack<half>(x[0][0], x[1][0]); out[1] = pack<half>(x[0][1], x[1][1]);
  out[2] = pack<half>(x[2][0], x[3][0]); out[3] = pack<half>(x[2][1], x[3][1]);
}

template <int chunks> FUNCTION void take(unsigned (&w)[chunks][4], const unsigned char* place, int step) {
  UNROLL for (int c = 0; c < chunks; ++c) {
    const Words now = *(const Words*)(place + c * step);
    w[c][0] = now.x; w[c][1] = now.y; w[c][2] = now.z; w[c][3] = now.w;
  }
}
"""
