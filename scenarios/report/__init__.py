"""Makes one self-contained page of a saved run; it only reads what was saved and judges nothing."""
