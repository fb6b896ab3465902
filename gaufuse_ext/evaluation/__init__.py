"""How good detections, proposals and video scores are, on flat arrays."""
