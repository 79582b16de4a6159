#!/usr/bin/env bash
# Sets up .venv from the locks, once: a second run with unchanged inputs does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3.11}
stamp=.venv/.vagus-setup
want=$(cat requirements/*.lock pyproject.toml clients/python/pyproject.toml scripts/setup.sh | sha256sum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then
  exit 0
fi

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

command -v "$python" >/dev/null || { say "Python 3.11 is needed ($python was not found)"; exit 1; }
command -v g++ >/dev/null || { say "a C++ compiler is needed (g++ was not found)"; exit 1; }
say "setting up .venv (once, about 3 minutes)"
rm -f "$stamp"
[ -x .venv/bin/python ] || "$python" -m venv .venv

# The resolver would take ten minutes over this and build llama.cpp; the lock is complete.
locks=(--no-deps -r requirements/cpu.lock -r requirements/dev.lock)
total=$(cat requirements/*.lock | grep -cE '^[A-Za-z]')
# A count instead of several lines per package; whatever else pip says is shown.
progress() {
  local n=0 line
  while IFS= read -r line; do
    case $line in
      Collecting* | "Requirement already satisfied"*)
        n=$((n + 1))
        if [ -t 2 ]; then printf '\r  %d of %d' "$n" "$total" >&2
        elif [ $((n % 25)) = 0 ]; then printf '  %d of %d\n' "$n" "$total" >&2; fi ;;
      "Installing collected"*) printf '\n  downloaded; unpacking takes a minute\n' >&2 ;;
      "Looking in"* | "WARNING: Location"* | "  "* | Successfully*) ;;
      *) printf '%s\n' "$line" >&2 ;;
    esac
  done
}
say "1/2 downloading and installing $total locked packages"
if ! pip install "${locks[@]}" ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} 2>&1 | progress; then
  say "installing failed. If torch==2.13.0+cpu was not found: set TORCH_INDEX to PyTorch's index of
CPU wheels (see PyTorch's \"Get started\" page) and run this again."
  exit 1
fi
say "2/2 installing vagus and vagus-server from this folder"
pip install --quiet --no-deps --no-build-isolation -e clients/python -e .
printf '%s' "$want" >"$stamp"
say "ready"
