"""A pod that may have no more processes, so that no thread can be started."""

from concurrent.futures import Future, ThreadPoolExecutor

from typing_extensions import override


class NoThreads(ThreadPoolExecutor):
    """For `loop.set_default_executor`."""

    @override
    def submit(self, *_: object, **__: object) -> Future[object]:  # type: ignore[override]  # none
        raise RuntimeError("can't start new thread")
