"""What scripts/pictures.py is made of."""
