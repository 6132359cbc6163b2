"Where a Chromium is on this machine; run as a script, it brings one if there is none."
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = 'chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'msedge'
# No sandbox, since root has none; nothing that a browser asks other hosts for by itself.
OPTIONS = ['--no-sandbox', '--disable-quic', '--no-first-run',
           '--disable-background-networking', '--disable-component-update', '--disable-sync']


def works(browser: str) -> bool:
    "Whether it starts; some systems' packages only point to where one could be had"
    try: return subprocess.run([browser, '--version'], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired): return False


def find_browser() -> str | None:
    "The machine's own Chromium or Chrome, else Playwright's"
    for found in filter(None, map(shutil.which, NAMES)):
        if works(found): return found
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright: found = playwright.chromium.executable_path
    return found if Path(found).exists() else None


def from_debian() -> bool:
    "Install the system's package, if that is allowed without asking"
    if not shutil.which('apt-get'): return False
    alone = [] if os.geteuid() == 0 else ['sudo', '-n']
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'})
    steps = ['update'], ['install', '--yes', '--no-install-recommends', 'chromium']
    try: return all(subprocess.run([*alone, 'apt-get', '-qq', *words], **quiet).returncode == 0 for words in steps)
    except OSError: return False


def main():
    "Say in a line what the browser tests will run in"
    if found := find_browser(): return print(f'browser tests: {found}')
    print('browser tests: looking for a Chromium to install ...', flush=True)
    if from_debian() and (found := find_browser()): return print(f'browser tests: {found}')
    words = [sys.executable, '-m', 'playwright', 'install', 'chromium']
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(f'browser tests: {find_browser() or "no Chromium could be had, so they are skipped"}')


if __name__ == '__main__': main()
