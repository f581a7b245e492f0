"""What a payload takes of a board in a process of its own: memory, and the time from its start to the first answer."""
