# shellcheck shell=bash
# To be sourced: runs a command under a lock that excludes other runs of a script.
#
#   exclusively LOCK COMMAND...
#
# Without flock, two concurrent first runs both do the work, which is slower but equally safe: results
# are put into the cache in one step. Uses the script's say.
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
        # Neither the command nor processes that it leaves inherit the lock.
        "$@" 9>&-
    } 9>"$lock"
}
