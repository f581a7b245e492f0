"""The calibration methods, one a file."""
