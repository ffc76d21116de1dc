# Sourced by apps/demo and tests/run: makes sure of the packages that sigma is built with.
#
#   sigma_packages PACKAGE...   installs the named Debian packages where they are missing (as root, or with sudo);
#                               on systems without apt it says what is needed, and goes on if the tools are there.

SIGMA_PACKAGES=(g++ cmake ninja-build pkg-config libopenblas-dev libfmt-dev libstb-dev libhwy-dev
                libmd-dev nlohmann-json3-dev zlib1g-dev libcurl4-openssl-dev fonts-dejavu-core ca-certificates)

sigma_packages() {
  local missing=() package arch
  if ! command -v apt-get >/dev/null; then
    echo "This system has no apt-get. sigma is built with: a C++20 compiler, CMake 3.22, Ninja, pkg-config, OpenBLAS, fmt," \
         "stb, Google Highway, libmd, nlohmann-json, zlib, libcurl and the DejaVu Sans font (Debian names: $*)." >&2
    return 0
  fi
  arch=$(dpkg --print-architecture)
  for package in "$@"; do
    # One line an architecture: with those of arm64 (tests/slow/arm64) beside them the native ones are still looked for.
    dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null | grep -E "^(all|$arch) installed$" >/dev/null ||
      [[ $package == *:* && $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "error: please install as root: apt-get install ${missing[*]}" >&2; return 1; }
    sudo=(sudo)
  fi
  echo "installing: ${missing[*]}"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null' \
      sh "${missing[@]}"
}
