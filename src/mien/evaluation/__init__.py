"""Measures of accuracy on photographs and on rendered heads of known shape."""
