// Reading and writing by pairs of neighbouring units, and functions of a cell's equations.
FUNCTION float tanh_of(float x) { return fast_tanh(x); }
FUNCTION float logistic(float x) { return fmaf(0.5f, fast_tanh(0.5f * x), 0.5f); }
FUNCTION float most(float x, float y) { return x != x ? x : y != y ? y : x > y ? x : y; }
FUNCTION float least(float x, float y) { return x != x ? x : y != y ? y : x < y ? x : y; }
FUNCTION float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

typedef unsigned short Half;  // a float16
template <bool even> FUNCTION void pair(const Half* place, bool one, bool two, unsigned* out) {
  if (even) *out = one ? *(const unsigned*)place : 0u;
  else *out = (one ? place[0] : 0u) | (two ? place[1] : 0u) << 16;
}

template <bool even> FUNCTION void write(Half* place, bool one, bool two, const float* from) {
  const unsigned both = halve(from[0], from[1]);
  if (even) {
    if (one) *(unsigned*)place = both;
  } else {
    if (one) place[0] = (Half)both;
    if (two) place[1] = (Half)(both >> 16);
  }
}

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
