#!/bin/bash
# SPDX-License-Identifier: MIT
# The table in src/io/posix.md is whole, and true: it has every call on files that the C library's
# headers declare, and each name that it gives for one is declared in weir's.
set -eu
cd "$WEIR_SOURCE_DIR"

fail() {
    echo "$*"
    exit 1
}

# declared HEADER: the functions that this header, and the parts it is made of, declare.
declared() {
    printf '#define _GNU_SOURCE\n#include <%s>\n' "$1" | "$CC" -E -x c - |
        awk -v header="$1" '
            /^# [0-9]+ "/ {
                gsub(/"/, "", $3)
                own = substr($3, length($3) - length(header)) == "/" header || $3 ~ /\/bits\//
                next
            }
            own' | tr '\n' ' ' | sed 's/__attribute__ *(([^;]*))//g' | grep -oE 'extern [^;]*;' |
        grep -oE '[a-z_0-9]+ *\(' | tr -d '( ' | grep -vE '^__|64' | sort -u
}

# Of unistd.h, what has nothing to do with files.
others='_exit alarm brk confstr crypt daemon endusershell execl execle execlp execv execve execveat
execvp execvpe fexecve fork ork getdomainname getdtablesize getegid geteuid getgid getgroups
gethostid gethostname getlogin getlogin_r getopt getpagesize getpass getpgid getpgrp getpid
getppid getresgid getresuid getsid gettid getuid getusershell group_member isatty nice pause
pipe pipe2 profil sbrk setdomainname setegid seteuid setgid sethostid sethostname setlogin
setpgid setpgrp setregid setresgid setresuid setreuid setsid setuid setusershell sleep swab
syscall sysconf tcgetpgrp tcsetpgrp ttyname ttyname_r ttyslot process_vm_readv
process_vm_writev ualarm usleep vfork vhangup int xit void'

headers='fcntl.h unistd.h dirent.h sys/stat.h sys/xattr.h sys/file.h sys/uio.h sys/statfs.h
sys/statvfs.h sys/sendfile.h'

rows=$(sed -n '/^|---/,$p' src/io/posix.md | sed 1d)
calls=$(cut -d'|' -f2 <<<"$rows" | sed 's/ and .*//' | tr ', ' '\n' | grep . | sort)
[ -z "$(uniq -d <<<"$calls")" ] || fail "twice in the table: $(uniq -d <<<"$calls")"

count=0
for header in $headers; do
    for name in $(declared "$header"); do
        grep -qwF -- "$name" <<<"$others" && continue
        grep -qxF -- "$name" <<<"$calls" || fail "$name ($header) is not in the table"
        count=$((count + 1))
    done
done
[ "$count" -gt 100 ] || fail "only $count calls were found in the headers: the test is blind"

# Each row says what is here, or why nothing is; each name is declared.
while IFS='|' read -r _ call here why _; do
    here=$(tr -d ' ' <<<"$here")
    [ -n "$here" ] || fail "$call: neither a name nor a dash"
    [ "$here" != – ] || [ -n "$(tr -d ' ' <<<"$why")" ] || fail "$call: left out without a reason"
    for name in $(tr ',–' '  ' <<<"$here"); do
        grep -qrE "\\b$name\\(" include || fail "$call: there is no $name"
    done
done <<<"$rows"

# And the other way round: every call of the chapters on files stands in the table, or is one of
# the helpers that POSIX has nothing like.
helpers='weir_direct_alignment weir_direct_alloc weir_direct_free weir_direct_explain
weir_read_file weir_unload_file'
for name in $(cat include/weir/{file,path,attribute,file_lock,directory,copy,whole,direct}.h |
    grep -oE '\bweir_[a-z0-9_]+\(' | tr -d '(' | sort -u); do
    case $name in weir_in_*) continue ;; esac
    grep -qwF -- "$name" <<<"$rows" || grep -qwF -- "$name" <<<"$helpers" ||
        fail "$name is not in the table"
done
