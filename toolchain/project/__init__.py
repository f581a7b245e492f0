"""What users write: recipes, targets, devices; found, and read strictly."""
