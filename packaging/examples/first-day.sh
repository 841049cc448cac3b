#!/bin/sh
# A newcomer's first day on somebody else's server, as it is typed on a terminal of 80 columns and 24 rows.
# NATTER_SERVER names the server, on which bob is. The password is the first line of the file that PASSWORD names.
set -eux

# The way in
natter | head -n 24
natter register carol --password-file "$PASSWORD"
natter account set display='Carol Jones'
natter users

# Nothing is new: what was said before is history
natter ls
natter log --unread
natter log

# An answer, without looking up a number
natter send --re last 'I can delete the old logs'
natter edit last 'I have deleted the old logs'
natter log

# To one person, to several, and to oneself
natter pm bob 'Hello, I am new here'
natter send -c @bob -c general 'Done: 40 % free again'
natter wrap -- sh -c 'df . >/dev/null && echo all is well'
natter log @me

# A group with a topic
natter group create disks
natter group add disks bob
natter group topic disks 'Who deletes what, and when'
natter send -c disks 'Mondays at 9?'

# To find something again, with a slip of the finger
natter search 'sda1 OR logs' in:general
natter search disk from:bbo || test $? -eq 1
natter log --since '2h ago' --from bob

# Without the server
natter edit --offline --queue last 'Done: 41 % free again'
natter send --offline --queue 'Sent from the train'
natter outbox
natter sync
natter log -n 3

# The end of the day
natter mark
natter status
natter help times | head -n 20
natter export --all --to mine
natter account delete --yes --password-file "$PASSWORD"
