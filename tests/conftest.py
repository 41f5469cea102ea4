"""What all tests share: types checked at run time, compiled programs kept, examples that never vary."""

import gc
import os
import platform
from pathlib import Path

# With as many workers as cores, OpenBLAS's threads wait for each other; read when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hypothesis
import pytest
import runtime_types

# Every annotated function checks its types and shapes.
runtime_types.install("goalgap")

hypothesis.settings.register_profile("goalgap", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.load_profile("goalgap")


# The newer emitters of fused operations take about 40 % of all that compiling costs.
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)
# Narrow vectors take an eighth less to compile.
if platform.machine() == "x86_64":
    QUICK += " --xla_cpu_max_isa=SSE4_2"


def pytest_configure(config: pytest.Config) -> None:
    """Compile quickly rather than well, and keep compiled programs in pytest's cache: for all workers,
    for subprocesses, for the next run.

    Most of what tests wait for is compilation; slow tests wait for the programs. `pytest --cache-clear`
    empties the cache; one of the user's own, named in the environment, comes first.
    """
    if config.option.markexpr == "not slow":
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"
    if getattr(config, "cache", None) is not None:  # `-p no:cacheprovider` has none
        # JAX reads these when it is imported, which no test module has done yet.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # Cleared by now: were each worker to do so again, one would remove what the other writes.
    config.option.cacheclear = False
    # Another worker may be half-way through writing the same program: JAX then compiles it anew.
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look through it again and again,
    nor so often while programs are traced."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Linux allows a process 65,530 memory maps, each compiled program takes some, and XLA crashes when
    there are no more: after a module or a slow test, programs are forgotten where there are many."""
    if item.get_closest_marker("slow") or nextitem is None or nextitem.path != item.path:
        maps = Path("/proc/self/maps")
        if maps.exists() and maps.read_text().count("\n") > 20_000:
            import jax  # not before its settings are made

            jax.clear_caches()
