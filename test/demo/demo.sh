#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Two workloads, shown and verified: demo.sh DIR [ROOTS], where DIR has hello.toml and web.toml,
# and ROOTS, /var/lib/machines, the roots they name.
#
# Runs as root on a machine with systemd and unified cgroups where sdcontainer is
# installed. Prints a transcript; each claim is checked against what was really
# printed by the command above it. Exit status 0: all of them were seen.
set -u
export SYSTEMD_PAGER='' SYSTEMD_COLORS=0 NO_COLOR=1 LANG=C.UTF-8

dir=$1 roots=${2:-/var/lib/machines}
# What it makes it removes in the end: nothing of that name may be somebody's.
if [ -n "$(sdcontainer ps -aq 2>&1)" ] || [ -n "$(ls -d /etc/systemd/system/sdcontainer@web.service* 2>/dev/null)" ]; then
	echo "demo: there are containers here (sdcontainer ps -a), or a unit of a container web; this is for a machine without" >&2
	exit 1
fi
work=$(mktemp -d)
out=$work/out
ps -eo pid,comm >"$work/before" # a machine may have an nginx of its own
claims=0
missed=0
status=0

tidy() {
	systemctl stop "$service" >/dev/null 2>&1
	sdcontainer unit rm web >/dev/null 2>&1
	for name in web hello greedy seven; do sdcontainer rm -f "$name" >/dev/null 2>&1; done
	rm -rf "$work"
}
service=sdcontainer@web.service
trap tidy EXIT
trap 'exit 1' HUP INT TERM # a shell killed by a signal does not tidy

heading() { printf '\n=== %s\n\n' "$*"; }

# see runs a command line, shows it with what it prints, and keeps both for claim.
see() {
	printf '$ %s\n' "$*"
	sh -c "$*" >"$out" 2>&1
	status=$?
	sed 's/^/  /' "$out"
	[ $status -eq 0 ] || printf '  (exit status %s)\n' "$status"
}

verdict() {
	claims=$((claims + 1))
	if [ "$1" -eq 0 ]; then
		printf '  [seen] %s\n' "$2"
	else
		missed=$((missed + 1))
		printf '  [NOT SEEN] %s\n' "$2"
	fi
}

# claim TEXT REGEXP: the last command printed something that matches.
claim() {
	grep -qE -- "$2" "$out"
	verdict $? "$1"
}

# exits TEXT CODE: the last command ended with that status.
exits() {
	[ "$status" -eq "$2" ]
	verdict $? "$1"
}

# unlike TEXT REGEXP: nothing the last command printed matches.
unlike() {
	! grep -qE -- "$2" "$out"
	verdict $? "$1"
}

# answered asks the server for its page; it may need a moment until it listens.
answered() {
	see 'for try in 1 2 3 4 5 6 7 8 9 10; do busybox wget -qO- http://127.0.0.1:8080/ && break; sleep 0.5; done'
	claim 'the server answers a request' '<html|<h1'
}

heading 'The machine'
see 'systemctl --version | head -1; uname -r; stat -fc %T /sys/fs/cgroup; sdcontainer version'
claim 'systemd manages a unified cgroup hierarchy' '^cgroup2fs$'

heading 'Ten lines of TOML, run in the foreground'
see "cat $dir/hello.toml"
see "sdcontainer run --rm $dir/hello.toml"
exits 'it ran and its exit code is ours' 0
claim 'it greeted us' '[Hh]ello'

heading 'A real server: memory, CPU and task limits, read-only root, tmpfs, volume, its own users'
see "cat $dir/web.toml"
see "sdcontainer check $dir/web.toml"
exits 'the file has no mistakes' 0
see "sdcontainer run -d $dir/web.toml"
exits 'it started in the background' 0
answered

heading 'What it sees of itself'
see "sdcontainer exec web cat /proc/1/comm"
claim 'pid 1 is nginx' '^nginx$'
see "sdcontainer exec web hostname"
claim 'its own host name' '^web$'
see "sdcontainer exec web id"
claim 'it is not root' 'uid=[1-9]'
see "sdcontainer exec web cat /proc/self/uid_map"
claim 'its user ids are those of a user namespace' '^ *0 +[1-9][0-9]+ +65536'
see "sdcontainer exec web grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/1/status"
claim 'no capability is in effect' 'CapEff:[[:space:]]0000000000000000'
claim 'it cannot gain privileges' 'NoNewPrivs:[[:space:]]1'
claim 'its system calls are filtered' 'Seccomp:[[:space:]]2'
see "sdcontainer exec web cut -d' ' -f5,6 /proc/self/mountinfo"
claim 'the root is read-only' '^/ ro'
claim '/tmp or /run is a tmpfs of its own' '^/(run|tmp) '
claim 'the site is a volume, read-only' '^/srv ro'
see "sdcontainer exec web touch /usr/no-way"
claim 'and writing to it is refused' 'Read-only file system'

heading 'What systemd and the kernel say about it'
see 'systemctl status --no-pager sdc-web.scope'
claim 'it is a scope in our slice' 'sdcontainer.slice'
claim 'systemd knows its limits' 'max: '
see 'sdcontainer ps'
claim 'ps lists it' 'web .*[Rr]unning'
group=/sys/fs/cgroup$(systemctl show -P ControlGroup sdc-web.scope)
limited() {
	claim 'the kernel enforces the limit of memory' '^memory.max:134217728$'
	claim 'of tasks' '^pids.max:64$'
	claim 'and of CPU time' '^cpu.max:50000 100000$'
}
see "cd $group && grep . memory.max pids.max cpu.max"
limited
see "systemctl daemon-reload; cd $group && grep . memory.max pids.max cpu.max"
limited

heading 'Its log'
see 'journalctl --sync; journalctl -b --no-pager -n 20 _SYSTEMD_UNIT=sdc-web.scope'
claim 'the request is in the journal, under its unit' 'GET /'

heading 'Limits change while it runs, through the unit'
see 'sdcontainer update web --pids-limit 77 && systemctl show -p TasksMax sdc-web.scope'
claim 'systemd has the new limit' '^TasksMax=77$'
see "sdcontainer stats web"
exits 'one reading of its resources' 0
see 'sdcontainer stop web && sdcontainer rm web'
exits 'it stopped' 0

heading 'A container that eats too much memory'
cat >"$work/greedy.toml" <<TOML
version = 1
[rootfs]
path = "$roots/busybox"
[process]
args = ["/bin/awk", 'BEGIN { s = "0123456789abcdef"; while (1) s = s s }']
[resources.memory]
max = "24M"
swap_max = "0"
TOML
see "sdcontainer run -d $work/greedy.toml; sdcontainer wait greedy"
claim 'it was killed' '137'
see 'sdcontainer ps -a; sdcontainer inspect greedy'
claim 'for memory, and that is recorded' '"oomKilled": *true'
see 'sdcontainer rm greedy'

heading 'Exit codes'
cat >"$work/seven.toml" <<TOML
version = 1
[rootfs]
path = "$roots/busybox"
[process]
args = ["/bin/sh", "-c", "exit 7"]
TOML
see "sdcontainer run --rm $work/seven.toml"
exits 'the payload said 7, so do we' 7
see "sdcontainer run --rm --rootfs $roots/busybox -- /bin/nothing"
exits '127 for a program that is not there' 127

heading 'The same server as a systemd service'
see "sdcontainer unit install $dir/web.toml"
exits 'its unit is installed' 0
see "systemctl cat --no-pager $service"
claim 'its limits are directives of the unit' '^MemoryMax='
see "systemctl start $service; systemctl status --no-pager $service"
claim 'it runs' 'Active: active \(running\)'
claim 'its main PID is the payload itself' 'Main PID: [0-9]+ \(nginx\)'
answered
first=$(systemctl show -P MainPID "$service")
see "systemctl restart $service; systemctl show -p MainPID,ActiveState,NRestarts $service"
claim 'it runs again' '^ActiveState=active$'
unlike 'as another process' "^MainPID=$first\$"
answered
see "journalctl --sync; journalctl -b --no-pager -n 20 -u $service"
claim 'its log carries the name of the service' 'GET /'
see "systemctl stop $service; systemctl show -p ActiveState,Result,ExecMainStatus $service"
claim 'it stopped' '^ActiveState=inactive$'
claim 'and that was no failure' '^Result=success$'
see "sdcontainer unit rm web"
exits 'its unit is gone' 0

heading 'What is left'
see "systemctl list-units --all --no-legend --plain 'sdc*.scope' 'sdcontainer@*'"
unlike 'no unit of ours' '[a-z]'
see "ls -A /run/sdcontainer"
unlike 'no record' '^[a-zA-Z0-9]'
see "ps -eo pid,comm | grep -E 'nsexec|sdcontainer|nginx' | grep -vxFf $work/before"
unlike 'no process' '[0-9]'
see "findmnt -rno TARGET 2>/dev/null | grep -E 'sdcontainer|$roots'"
unlike 'no mount' '/'

printf '\n%s claims, %s not seen\n' "$claims" "$missed"
[ "$missed" -eq 0 ]
