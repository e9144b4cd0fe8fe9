// Runs every block of a grid at once, a fiber a thread, each time one that chance picks.
extern "C" int emulate(int blocks, int threads, int shared, int members, std::uint64_t seed) {
  members_of_cluster = members;
  threads_of_a_block = threads;
  std::vector<Grid> grid(blocks);
  std::vector<std::vector<unsigned char>> memory(blocks);
  std::vector<Fiber> fibers(blocks * threads);
  for (int b = 0; b < blocks; ++b) {
    memory[b].resize(shared + 64, 0xcd);
    grid[b].which = b; grid[b].all = &grid;
    grid[b].memory = (unsigned char*)(((std::uintptr_t)memory[b].data() + 63) & ~(std::uintptr_t)63);
    grid[b].warps.resize(threads / 32);
    for (int i = 0; i < threads; ++i) {
      Fiber& f = fibers[b * threads + i];
      f.block = &grid[b]; f.thread = i; f.stack.resize(1 << 17);
      getcontext(&f.context);
      f.context.uc_stack.ss_sp = f.stack.data();
      f.context.uc_stack.ss_size = f.stack.size();
      f.context.uc_link = &scheduler;
      makecontext(&f.context, (void (*)())entered, 0);
    }
  }
  std::uint64_t left = fibers.size(), idle = 0, state = seed * 2654435761u + 1;
  std::vector<int> order(fibers.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  while (left) {
    for (size_t i = order.size() - 1; i > 0; --i) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      std::swap(order[i], order[(state >> 33) % (i + 1)]);
    }
    for (int which : order) {
      if (fibers[which].ended) continue;
      here = &fibers[which];
      swapcontext(&scheduler, &here->context);
      if (here->ended) { --left; idle = 0; }
    }
    if (++idle > 2000000) return 1;
  }
  return 0;
}
