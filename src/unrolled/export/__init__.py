"""A trained run as files that run without this package: weights, program, tokenizer, card."""
