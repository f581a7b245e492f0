"""What a member shares with others of its package: it counts as the member's own code."""

FACTOR = 0.5
