"""How programs are compiled, and kept between processes."""

import os
import platform
from pathlib import Path

import jax

# For programs that run a few times only: they do the same, and are compiled in half the time.
QUICKLY = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}


def use_compilation_cache() -> None:
    """Keep compiled programs between processes, so that later ones need not compile them again.

    They lie in the user's cache directory, apart by JAX version and machine; `JAX_COMPILATION_CACHE_DIR`
    names another place, `GOALGAP_NO_CACHE=1` turns this off. Failing to write there is no error.
    """
    if os.environ.get("GOALGAP_NO_CACHE") or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = base / "goalgap" / f"jax-{jax.__version__}-{platform.machine()}"
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
