#!/bin/sh
# Hosts on one machine: network namespaces on a bridge, each with an address and a host name of its own.
#
#   hosts.sh up NAME…           make the bridge and a host for each name: PREFIX.11, PREFIX.12, …; we are PREFIX.1
#   hosts.sh exec NAME COMMAND  do COMMAND as that host
#   hosts.sh cut NAME           pull its cable
#   hosts.sh heal NAME          plug it in again
#   hosts.sh down               remove everything, and end what still works there
#
# ABLATE_HOSTS_PREFIX (10.77.0) and ABLATE_HOSTS_BRIDGE (ablate0) tell two sets of hosts apart. Needs root and iproute2.
set -eu

prefix=${ABLATE_HOSTS_PREFIX:-10.77.0}
bridge=${ABLATE_HOSTS_BRIDGE:-ablate0}

space() { echo "$bridge-$1"; }

# The cable's end on the bridge; an interface's name has at most 15 letters, so hosts differ in the first seven.
cable() { space "$1" | cut -c1-15; }

add() { # NAME ADDRESS
    namespace=$(space "$1")
    ip netns add "$namespace"
    ip link add "$(cable "$1")" type veth peer name eth0 netns "$namespace"
    ip link set "$(cable "$1")" master "$bridge" up
    ip -n "$namespace" address add "$2/24" dev eth0
    ip -n "$namespace" link set eth0 up
    ip -n "$namespace" link set lo up
    ip -n "$namespace" route add default via "$prefix.1"
}

up() {
    ip link add "$bridge" type bridge forward_delay 0
    ip address add "$prefix.1/24" dev "$bridge"
    ip link set "$bridge" up
    number=11
    for name in "$@"; do
        add "$name" "$prefix.$number"
        number=$((number + 1))
    done
}

down() {
    for namespace in $(ip netns list | cut -d' ' -f1 | grep "^$bridge-" || true); do
        ip netns pids "$namespace" | xargs -r kill -9 2>/dev/null || true
        ip netns delete "$namespace"
    done
    ip link delete "$bridge" 2>/dev/null || true
}

verb=${1:-}
[ -n "$verb" ] && shift
case $verb in
up) up "$@" ;;
down) down ;;
cut) ip link set "$(cable "$1")" down ;;
heal) ip link set "$(cable "$1")" up ;;
exec)
    name=$1
    shift
    # shellcheck disable=SC2016
    exec ip netns exec "$(space "$name")" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$name" "$@"
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
