"""What stays on a board: takes bundles, keeps releases and their verdicts."""
