"""Speed of training beside the release's literal step and the embedding layer alone."""
