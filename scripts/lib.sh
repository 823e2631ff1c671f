# For the scripts beside it: processes that are started, heard, and ended by their ids alone.
# shellcheck shell=bash

# Process ids by name of what was started.
declare -A PIDS=()

fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    exit 1
}

# start NAME PROGRAM ARGUMENT... : starts it, its standard error to $DIR/NAME.log, and waits for its line
# "listening {...}". The fields are then in $LISTENING.
start() {
    local name=$1 fd line
    shift
    # `exec`: the process id is the program's own.
    exec {fd}< <(exec "$@" 2>>"$DIR/$name.log")
    PIDS[$name]=$!
    if ! IFS= read -r -t 60 -u "$fd" line || [[ $line != "listening "* ]]; then
        cat "$DIR/$name.log" >&2
        fail "$name did not start"
    fi
    exec {fd}<&-
    LISTENING=${line#listening }
}

# end SIGNAL NAME... : sends it and waits until each is gone.
end() {
    local signal=$1 name pid
    shift
    for name in "$@"; do
        pid=${PIDS[$name]:-}
        [[ -n $pid ]] || continue
        kill "-$signal" "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        unset "PIDS[$name]"
    done
}

# field NAME JSON : a text field of a flat JSON object.
field() {
    sed -n "s/.*\"$1\": *\"\\([^\"]*\\)\".*/\\1/p" <<<"$2" | head -n 1
}
