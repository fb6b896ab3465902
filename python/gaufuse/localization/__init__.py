"""From class activations to instances, detections and their mAP."""
