"""Ask and watch: submit prompts, follow runs, run the embedded stack."""
