#!/bin/sh
# Installs the packages that building and testing need and that are not there yet (Debian 12,
# Ubuntu 24.04; as root or with sudo). Further packages can be named: ./setup.sh clang
set -eu

packages="g++ meson ninja-build pkgconf cmake python3 libeigen3-dev doctest-dev libgtest-dev
  libbenchmark-dev nlohmann-json3-dev libcli11-dev $*"

if ! command -v apt-get >/dev/null; then
  echo "setup.sh: no apt-get here; these Debian packages, or what they hold, are needed:" $packages
  exit 0
fi

missing=
for package in $packages; do
  case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
    *' installed') ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

echo "setup.sh: installing$missing"
sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600"
$apt update
$apt install -y --no-remove --no-install-recommends $missing
