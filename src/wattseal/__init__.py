"""Wattseal turns an electricity meter's reading into a fact that a stranger can check, and a fact into money."""

from __future__ import annotations

__version__ = "0.1.0"
