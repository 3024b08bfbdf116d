"""The pure part: formats, proofs and arithmetic, without clock, socket, file or randomness."""
