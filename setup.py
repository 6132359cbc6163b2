"Turn settings.ini, the home of the package's metadata, into setuptools' arguments."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(here / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
lib = cfg["lib_path"]
statuses = ["1 - Planning", "2 - Pre-Alpha", "3 - Alpha", "4 - Beta", "5 - Production/Stable", "6 - Mature", "7 - Inactive"]

# The notebooks are installed inside the package, so that `fastbook-notes` finds them without a checkout.
nbs = here / "nbs"
folders = sorted({p.parent for p in nbs.rglob("*.ipynb") if not any(part.startswith((".", "_")) for part in p.relative_to(nbs).parts)})
notebooks = {".".join([lib, "notebooks", *f.relative_to(nbs).parts]): f.relative_to(here).as_posix() for f in folders}

# What computes a model in a browser: npm brings it into website/, the sdist and the wheel carry it, git does not.
engine = [here / "website/node_modules/onnxruntime-web/dist" / name for name in ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")]


class BuildWithEngine(build_py):
    "Packs the browser's engine, where it is"

    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, lib, "apps", "onnxruntime_web")
        for file in filter(Path.is_file, engine):
            self.mkpath(str(target))
            self.copy_file(str(file), str(target / file.name))


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license_expression=cfg["license"],
    keywords=cfg["keywords"].split(),
    classifiers=[
        f"Development Status :: {statuses[int(cfg['status']) - 1]}",
        "Intended Audience :: Education",
        "Framework :: Jupyter",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split()},
    packages=[*find_packages(include=[lib, f"{lib}.*"]), *notebooks],
    package_dir=notebooks,
    package_data={
        f"{lib}.apps": ["*.js", "*.css", "voila/**/*", "published/*"],
        f"{lib}.apps.explorables": ["*.js", "*.css"],
        **{name: ["*.ipynb", "images/*.png"] for name in notebooks},
    },
    cmdclass={"build_py": BuildWithEngine},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{lib}={lib}._modidx:d"],
    },
)
