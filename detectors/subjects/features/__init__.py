"""Features in fewer dimensions than there are of them: toy autoencoders."""
