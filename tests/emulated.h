// The instructions of a GPU on a processor: a fiber a thread, one running at a time, in any order.
// Put in the place of cuda_gpu.cuh; the kernel's text stays as it is.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

#define KERNEL(threads, members) void
#define FUNCTION static inline
#define UNROLL
#define SHARED(name) unsigned char* const name = here->block->memory
#define THREAD (here->thread)
#define BLOCK (here->block->which)
#define __restrict__
struct Words { unsigned x, y, z, w; };
struct Two { float x, y; };
using std::fmaf;

struct Warp { int waiting = 0, turn = 0; unsigned a[32][4], b[32][2]; float d[32][4]; };
struct Gate { int waiting = 0, turn = 0; };
struct Bell { int waiting = 1, bytes = 0, phase = 0; };
struct Grid { int which; Bell bells[8]; std::vector<Grid>* all; unsigned char* memory; Gate gates[17]; std::vector<Warp> warps; };
struct Fiber { ucontext_t context; Grid* block; int thread; bool ended = false; std::vector<char> stack; };
static Fiber* here;
static ucontext_t scheduler;
static int threads_of_a_block;

static void rest() { swapcontext(&here->context, &scheduler); }
static void meet(int& waiting, int& turn, int many) {
  const int now = turn;
  if (++waiting == many) { waiting = 0; ++turn; }
  while (turn == now) rest();
}
static void barrier() { Gate& g = here->block->gates[0]; meet(g.waiting, g.turn, threads_of_a_block); }
static void some(int which, int threads) { Gate& g = here->block->gates[which]; meet(g.waiting, g.turn, threads); }
static Warp& warp_of() { return here->block->warps[here->thread / 32]; }
static void together() { Warp& w = warp_of(); meet(w.waiting, w.turn, 32); }
static float fast_tanh(float x) { return std::tanh(x); }

static std::uint16_t narrowed(float x, bool half) {
  std::uint32_t bits;
  if (!half) {
    if (x != x) return 0x7fff;
    std::memcpy(&bits, &x, 4);
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  }
  if (x != x) return 0x7fff;
  _Float16 h = (_Float16)x;
  std::uint16_t word;
  std::memcpy(&word, &h, 2);
  return word;
}
static float widened(std::uint16_t word, bool half) {
  if (half) { _Float16 h; std::memcpy(&h, &word, 2); return (float)h; }
  const std::uint32_t bits = (std::uint32_t)word << 16;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
template <bool half> unsigned pack(float low, float high) {
  return (unsigned)narrowed(low, half) | (unsigned)narrowed(high, half) << 16;
}

// Rows 0 to 15 of A are those of the lanes, lane / 4 and lane / 4 + 8; of B a lane holds one column.
template <bool half> void mma(float* d, const unsigned* a, unsigned b0, unsigned b1) {
  Warp& w = warp_of();
  const int lane = here->thread % 32;
  std::memcpy(w.a[lane], a, 16);
  w.b[lane][0] = b0; w.b[lane][1] = b1;
  together();
  for (int e = 0; e < 4; ++e) {
    const int row = lane / 4 + (e >= 2 ? 8 : 0), column = 2 * (lane % 4) + (e & 1);
    double sum = d[e];
    for (int k = 0; k < 16; ++k) {
      const int quad = (k % 8) / 2, high = k & 1;
      const unsigned x = w.a[(row % 8) * 4 + quad][(row >= 8 ? 1 : 0) + (k >= 8 ? 2 : 0)];
      const unsigned y = w.b[column * 4 + quad][k >= 8 ? 1 : 0];
      sum += (double)widened(x >> (16 * high), half) * widened(y >> (16 * high), half);
    }
    w.d[lane][e] = (float)sum;
  }
  std::memcpy(d, w.d[lane], 16);
  together();
}

static unsigned halve(float low, float high) {
  const float most = 65504.0f;
  const float a = low != low ? low : low > most ? most : low < -most ? -most : low;
  const float b = high != high ? high : high > most ? most : high < -most ? -most : high;
  return pack<true>(a, b);
}
static void widen(unsigned both, float* out) {
  out[0] = widened(both, true); out[1] = widened(both >> 16, true);
}

static void fetch(const void*) {}
static void row() { together(); }
static void raise(unsigned* flag) { ++*flag; }
static void await(const unsigned* flag, unsigned count) { while (*(volatile const unsigned*)flag < count) rest(); together(); }
// A bell's state lies in the block, found by the bell's place: eight bytes each, in the order of their places.
static int members_of_cluster;
static Grid& peer(int member) {
  const int first = here->block->which / members_of_cluster * members_of_cluster;
  return (*here->block->all)[first + member];
}
static Bell& bell_at(Grid& block, const void* bell) {
  static std::vector<std::ptrdiff_t> known;
  const std::ptrdiff_t place = (const unsigned char*)bell - block.memory;
  for (size_t i = 0; i < known.size(); ++i) if (known[i] == place) return block.bells[i];
  known.push_back(place);
  return block.bells[known.size() - 1];
}
static void ring(Bell& bell) { if (!bell.waiting && !bell.bytes) { bell.phase ^= 1; bell.waiting = 1; } }
static void hang(void* bell) {}
static void gather() { barrier(); }
static void shown() {}
static void parcel(const void* place, const void* from, int bytes, const void* bell, int member) {
  Grid& to = peer(member);
  std::memcpy(to.memory + ((const unsigned char*)place - here->block->memory), from, bytes);
  Bell& there = bell_at(to, to.memory + ((const unsigned char*)bell - here->block->memory));
  there.bytes -= bytes;
  ring(there);
}
static void expect(void* bell, int bytes) {
  Bell& mine = bell_at(*here->block, bell);
  mine.bytes += bytes; mine.waiting = 0;
  ring(mine);
}
static void listen(void* bell, int phase) { while (bell_at(*here->block, bell).phase == phase) rest(); }
