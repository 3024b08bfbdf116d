"""One file for each of the five answers of a verification (docs/spec/proof.md §3)."""
