"""Folders of the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "recipes" / "defaults"
CHAT_TEMPLATES = DEFAULTS / "chat_templates"
