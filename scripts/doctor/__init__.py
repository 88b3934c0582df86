"""What the doctor knows, what it concludes, and how it says so."""
