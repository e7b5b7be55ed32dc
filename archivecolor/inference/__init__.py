"""Luminance in, colour out: the network on its device, and what surrounds it. Knows no file."""
