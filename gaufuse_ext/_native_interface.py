"""What functions the native module must have. Written by csrc/bindings/stubs.py."""

INTERFACE = "2bc77af11bccf848"  # a hash of their names and arguments
