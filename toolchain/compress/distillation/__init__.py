"""What learning from a teacher needs."""
