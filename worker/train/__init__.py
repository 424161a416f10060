"""LoRA training of the student in a child process."""
