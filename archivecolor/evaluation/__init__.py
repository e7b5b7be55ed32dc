"""Measures colours against the truth: photographs, three-colour plates, films."""
