"""How convolution really works, on real weights and real photos. Start with `by_hand`."""
