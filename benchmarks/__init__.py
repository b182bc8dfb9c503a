"""What is measured, beside its peers in one run."""
