"""From many boxes to few: what decoders of detectors share."""
