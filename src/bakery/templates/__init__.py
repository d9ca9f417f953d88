"""Templates of an image's files: which file they become, what they may use, and the macros that they may import."""
