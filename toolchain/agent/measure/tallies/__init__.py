"""What metrics keep of samples: small summaries of each, so that any resample of them has its value without a second run."""
