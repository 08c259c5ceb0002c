# shellcheck shell=bash
# To be sourced: runs a command while no other run of a script does.
#
#   exclusively LOCK COMMAND...
#
# Where there is no flock, two first runs at once both do the work, which is slower but as safe:
# what they make is put into the cache in one step. Uses the script's say.
exclusively() {
    local lock=$1
    shift
    if ! type -P flock >/dev/null; then
        "$@"
        return
    fi
    {
        if ! flock --nonblock 9; then
            say "waiting for another run to finish"
            flock 9
        fi
        # The command does not inherit the lock, nor do processes it leaves.
        "$@" 9>&-
    } 9>"$lock"
}
