"""What an application opens the active release with, in its own process: the proven payload, and no other."""
