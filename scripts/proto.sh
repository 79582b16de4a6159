#!/usr/bin/env bash
# Generates the protobuf code into clients/python; with --check, fails unless it is fresh.
# grpcio-tools stays at 1.81: newer ones emit code that protobuf 6.33 refuses to load.
set -euo pipefail
cd "$(dirname "$0")/.."
out=clients/python
if [ "${1:-}" = --check ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
.venv/bin/python -m grpc_tools.protoc -Iproto \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" proto/vagus/v1/*.proto
if [ "${1:-}" = --check ]; then
  for file in "$out"/vagus/v1/*; do
    cmp "$file" "clients/python/vagus/v1/$(basename "$file")" || {
      echo "generated code is stale: run make proto" >&2
      exit 1
    }
  done
fi
