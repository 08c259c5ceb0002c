# shellcheck shell=bash
# To be sourced: unpacks packages of Debian and its derivatives without installing them.
#
#   unpack FOLDER PACKAGE...                 into FOLDER/tree
#   dependencies FOLDER PACKAGE PATTERN      names of its matching dependencies
#
# NAME:arm64 and NAME:amd64 are packages of these architectures. The package lists are in FOLDER, so
# neither the system's lists nor dpkg's architectures change, and root is not needed.

unpack() {
    local folder=$1 own options architecture package
    shift
    type -P apt-get >/dev/null && type -P dpkg-deb >/dev/null || return 1
    own="$(dpkg --print-architecture)"
    mkdir -p "$folder/lists/partial" "$folder/packages" "$folder/tree" || return 1
    options=(-q -o "APT::Architecture=$own" -o "APT::Architectures::=$own"
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
        -o "Debug::NoLocking=true")
    for architecture in amd64 arm64; do
        [[ $architecture == "$own" ]] || options+=(-o "APT::Architectures::=$architecture")
    done
    # As root, apt-get would fetch as another user without access to the folder.
    if [[ $EUID -eq 0 ]]; then options+=(-o "APT::Sandbox::User=root"); fi
    compgen -G "$folder/lists/*_Packages*" >/dev/null || apt-get "${options[@]}" update >&2 || return 1
    # In its own shell: apt-get downloads into the working directory.
    (cd "$folder/packages" && apt-get "${options[@]}" download "$@" >&2) || return 1
    for package in "$folder"/packages/*.deb; do
        dpkg-deb --extract "$package" "$folder/tree" || return 1
        rm "$package"
    done
}

# Prints the dependencies of a package in FOLDER's lists that match a pattern.
dependencies() {
    local folder=$1 package=$2 pattern=$3
    apt-cache -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" \
        depends --important "$package" | sed -n "s/^ *Depends: \($pattern\)\$/\1/p"
}
