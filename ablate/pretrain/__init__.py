"""How the shipped encoders are made: pre-training, its targets, and the linear probe that scores features."""
