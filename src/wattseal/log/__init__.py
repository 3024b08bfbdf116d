"""The append-only transparency log: store, sequencer, read side and fsck."""
