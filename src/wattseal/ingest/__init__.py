"""The way in: registry of devices and the one gate that admits or quarantines a reading."""
