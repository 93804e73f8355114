"""Decoders in a process of their own. A damaged or hostile file can crash the codecs, which are C++, or make them fill
the memory; then that process ends, the file is named, and the next one gets a new process."""

import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from pipeline.errors import PipelineError

MEMORY = 4 << 30  # bytes of address space
SECONDS = 120.0  # for one image; the largest take a few
MAIN = "import sys; sys.path[:] = {path!r}; from pipeline.data import apart; apart.serve({handle}, {memory})"

_lock = threading.Lock()
_worker: tuple[subprocess.Popen[bytes], Connection] | None = None


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, computed apart. The function is one of a module, so that it can be named to the process.

    Raises PipelineError where the function does, runs out of `MEMORY`, takes more than `SECONDS` or crashes.
    """
    global _worker
    with _lock:
        process, pipe = _worker = _worker or _start()
        answered = False
        try:
            pipe.send((function, arguments))
            if not pipe.poll(SECONDS):
                raise PipelineError(f"takes more than {SECONDS:.0f} s to decode; the file is damaged")
            done, value = pipe.recv()
            answered = True
        except (EOFError, OSError):
            raise PipelineError(f"crashes its decoder (exit code {process.wait()}); the file is damaged") from None
        finally:
            if not answered:
                process.kill()
                process.wait()
                pipe.close()
                _worker = None
    if not done:
        raise PipelineError(value)
    return value


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = Pipe()
    code = MAIN.format(path=sys.path, handle=theirs.fileno(), memory=MEMORY)
    null = subprocess.DEVNULL  # what C++ says of its end helps nobody
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs.fileno()], stdin=null, stdout=null, stderr=null)
    theirs.close()
    return process, ours


def serve(handle: int, memory: int) -> None:
    """Answer calls until the other end is closed, which also happens when its process is killed."""
    pipe = Connection(handle)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = True, function(*arguments)
        except PipelineError as error:
            answer = False, str(error)
        except MemoryError:
            answer = False, f"needs more than {memory >> 20} MiB to decode; the file is damaged"
        except Exception as error:
            answer = False, f"cannot be decoded ({type(error).__name__}: {error})"
        pipe.send(answer)
