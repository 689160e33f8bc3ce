#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image of the autograder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# The course needs Python 3.11 or newer: Ubuntu 24.04 has 3.12, 22.04 has 3.11 besides its own.
apt-get install -q -y python3.12-venv || apt-get install -q -y python3.11-venv
# Bubblewrap is used where the container lets it; otherwise the report names another level.
apt-get install -q -y bubblewrap || true
python=$(command -v python3.12 || command -v python3.11)
"$python" -m venv venv
cd course
../venv/bin/python -m pip install -q -r requirements.txt
