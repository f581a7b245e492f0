"""What the methods that prune share."""
