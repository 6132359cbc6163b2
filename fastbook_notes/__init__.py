"""Notes on "Deep Learning for Coders with fastai and PyTorch", chapters 1 to 6, as a package."""


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import version

        return version("fastbook-notes")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
