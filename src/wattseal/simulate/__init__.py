"""Meters that do not exist: software keys with real chains, for the demonstration, benchmarks and tests."""
