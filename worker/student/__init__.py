"""The student model: its tokenizer, chat templates and checks."""
