"""How the shipped encoders are made: pre-training, its targets, and what measures an encoder without labels."""
