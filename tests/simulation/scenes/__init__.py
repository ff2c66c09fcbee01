"""Scenes for mistakes that chance hardly ever punishes, a file a theme."""
