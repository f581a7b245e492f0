"""What a run needs beside its work: cache and keys, progress, provenance, writes that survive a power cut."""
