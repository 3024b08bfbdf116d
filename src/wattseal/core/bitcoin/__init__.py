"""Bitcoin's headers, transactions and Merkle trees: parsed strictly and checked without any node."""
