"""What opens a model that nobody vouches for runs confined: in a child process under limits, which says everything as data."""
