"""The third answer as an exception: raised where a check ends for want of something."""

from __future__ import annotations


class Unknown(Exception):
    """Something that a check needs is neither in the bundle nor in the trust file: neither good nor bad."""
