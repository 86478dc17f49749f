#!/usr/bin/env bash
# tests/support/start_slurm.sh DIR start|stop
#
# Starts or stops a real Slurm (munged, slurmctld, two slurmd). Needs root, but neither an init
# system nor cgroups. Both nodes are this machine; node2 is only in the partition `both`. Jobs of
# the partition `urgent` preempt the others. Everything is written under DIR, and the ports are free
# ones, so that several instances can run side by side.
#   start  starts the daemons, waits until the nodes are idle, and prints the `export` line that
#          points Slurm's commands to this instance
#   stop   ends its jobs, then the daemons, and waits until all of them are gone
# Needs Debian's packages slurmctld, slurmd, slurm-client and munge, and python3. DIR must be short
# (the path of a socket has at most 107 characters) and without spaces.
set -euo pipefail
print_help() { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; }
[[ $# == 2 && $2 =~ ^(start|stop)$ ]] || { print_help; exit 2; }
mkdir -p "$1"
dir=$(realpath "$1")
export SLURM_CONF=$dir/slurm.conf

# within SECONDS COMMAND...: repeats the command until it succeeds; fails after that time.
within() {
  local end=$((SECONDS + $1))
  until "${@:2}"; do ((SECONDS < end)) || return 1; sleep 0.1; done
}
is_idle() {
  local nodes
  nodes=$(timeout 5 sinfo --noheader --partition=both --format "%T %D" 2>/dev/null)
  [[ $nodes == "idle 2" ]]
}
# Kills the processes of the remaining jobs: scancel, even with KILL, would wait for KillWait.
has_no_jobs() {
  {
    timeout 5 scontrol listpids | awk '$1 ~ /^[0-9]+$/ && $1 > 1 {print $1}' |
      xargs --no-run-if-empty kill -KILL
  } 2>/dev/null || true
  [[ -z $(timeout 5 squeue --noheader 2>/dev/null) ]]
}
# is_gone PID NAME: also true for a zombie, and if another process has the PID by now.
is_gone() {
  local name state
  ! read -r _ name state _ 2>/dev/null <"/proc/$1/stat" || [[ $state == Z || $name != "($2)" ]]
}

stop() {
  if [[ -s $dir/slurmctld.pid ]]; then # jobs outlive the daemons, so they are ended first
    timeout 10 scancel --quiet --user=root 2>/dev/null || true
    within 40 has_no_jobs || echo "start_slurm.sh: some jobs are still running" >&2
  fi
  local file name pid
  for file in slurmd-node1 slurmd-node2 slurmctld munged; do
    pid=$(cat "$dir/$file.pid" 2>/dev/null) || continue
    name=${file%-*}
    is_gone "$pid" "$name" || kill "$pid" || true
    within 10 is_gone "$pid" "$name" || kill -KILL "$pid" || true
    within 5 is_gone "$pid" "$name" ||
      { echo "start_slurm.sh: $name ($pid) does not exit" >&2; exit 1; }
    rm -f "$dir/$file.pid"
  done
}

start_node() {
  unshare --mount sh -c "mount --bind '$dir/hosts' /etc/hosts && exec slurmd -N '$1'"
}
# Prints three free ports.
free_ports() {
  python3 -c '
import socket
servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*[server.getsockname()[1] for server in servers])'
}
start_daemons() {
  munged --force --socket="$dir/munge.socket" --key-file="$dir/munge.key" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munge.seed" &&
    slurmctld && start_node node1 && start_node node2 && within 30 is_idle
}

start() {
  local host node ports
  host=$(hostname -s)
  node=$(slurmd -C | sed -n "s/^NodeName=[^ ]*/NodeHostname=$host NodeAddr=127.0.0.1/p")
  read -ra ports < <(free_ports)
  mkdir -p "$dir/state" "$dir/spool-node1" "$dir/spool-node2"
  { cat /etc/hosts && echo "127.0.0.1 node1 node2"; } >"$dir/hosts" # mounted over /etc/hosts
  # cred_expire is also how long a requeued job waits before it restarts (Slurm's default is 120 s).
  # config_overrides: trust the node line of `slurmd -C`, so that memory that varies does not drain
  # the node.
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=10
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
ReturnToService=2
MailProg=/bin/true
SlurmdParameters=config_overrides
NodeName=node1 Port=${ports[1]} $node
NodeName=node2 Port=${ports[2]} $node
PartitionName=debug Nodes=node1 Default=YES MaxTime=INFINITE
PartitionName=urgent Nodes=node1 MaxTime=INFINITE PriorityTier=10
PartitionName=both Nodes=ALL MaxTime=INFINITE
END
  (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
  if ! start_daemons >&2; then
    tail -n 15 "$dir"/*.log >&2 || true
    stop
    exit 1
  fi
  echo "export SLURM_CONF=$SLURM_CONF"
}

"$2"
