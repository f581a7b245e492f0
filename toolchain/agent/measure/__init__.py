"""What travels in bundles: opens a payload, measures it, judges it."""
