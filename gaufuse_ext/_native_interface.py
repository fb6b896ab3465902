"""What functions the native module must have. Written by csrc/bindings/stubs.py."""

INTERFACE = "b3434edc53b9c060"  # a hash of their names and arguments
