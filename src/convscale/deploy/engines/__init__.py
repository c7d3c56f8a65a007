"""Engines: the ways to run a network, from plain PyTorch to runtimes that need none of it."""

from convscale.deploy.engines.exported import has_engine, open_file
from convscale.deploy.engines.kinds import ENGINES, installed_engines, open_engine
from convscale.deploy.engines.protocol import Dtype, Engine, EngineKind

__all__ = ["ENGINES", "Dtype", "Engine", "EngineKind", "has_engine", "installed_engines", "open_engine", "open_file"]
