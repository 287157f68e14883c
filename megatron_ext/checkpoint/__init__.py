"""Checkpoints."""

from megatron_ext.checkpoint.integrity import INTEGRITY
from megatron_ext.checkpoint.saving import Saver, latest, load, newest_sound, require_latest, resolve, save

__all__ = ["INTEGRITY", "Saver", "latest", "load", "newest_sound", "require_latest", "resolve", "save"]
