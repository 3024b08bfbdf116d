"""Evidence that a checkpoint existed by some time."""
