# Completion of plancton-tick for fish.

complete -c plancton-tick -f
complete -c plancton-tick -s h -l help -d 'Print a summary and exit'
complete -c plancton-tick -l version -d 'Print the version and exit'
complete -c plancton-tick -l config -r -F -d 'The configuration'
complete -c plancton-tick -l dry-run -d 'Print what the tick would do, and change nothing'
complete -c plancton-tick -l json -d 'With --dry-run, print JSON'
