# Completion of planctonctl for fish.

# Tell whether the verb is one of these. It is the first word that is neither an option nor the value
# of one; without arguments: whether there is none yet.
function __planctonctl_verb_is
    set -l words (commandline -opc)
    set -e words[1]
    set -l is_value no
    for word in $words
        if test $is_value = yes
            set is_value no
        else if test "$word" = --config
            set is_value yes
        else if not string match -q -- '-*' $word
            contains -- $word $argv
            return
        end
    end
    not count $argv >/dev/null
end

complete -c planctonctl -f
complete -c planctonctl -s h -l help -d 'Print a summary and exit'
complete -c planctonctl -n __planctonctl_verb_is -l version -d 'Print the version and exit'
complete -c planctonctl -n 'not __planctonctl_verb_is demo' -l config -r -F -d 'The configuration'
complete -c planctonctl -n 'not __planctonctl_verb_is demo' -l user -d 'The timer is one of your own systemd'

complete -c planctonctl -n __planctonctl_verb_is -a status -d 'What Plancton does on this host now'
complete -c planctonctl -n __planctonctl_verb_is -a plan -d 'What the next tick would do, and why'
complete -c planctonctl -n __planctonctl_verb_is -a drain -d 'No new pilots; those that run are left to finish'
complete -c planctonctl -n __planctonctl_verb_is -a resume -d 'End a drain'
complete -c planctonctl -n __planctonctl_verb_is -a start -d 'Turn the timer on'
complete -c planctonctl -n __planctonctl_verb_is -a stop -d 'Turn the timer off; pilots stay'
complete -c planctonctl -n __planctonctl_verb_is -a force-stop -d 'Drain, and end all pilots'
complete -c planctonctl -n __planctonctl_verb_is -a check -d 'Whether a configuration is good, and what it means'
complete -c planctonctl -n __planctonctl_verb_is -a migrate -d 'A Plancton 0.6 file in today\'s keys'
complete -c planctonctl -n __planctonctl_verb_is -a history -d 'What pilots and owner did'
complete -c planctonctl -n __planctonctl_verb_is -a simulate -d 'What a policy would have done on some day'
complete -c planctonctl -n __planctonctl_verb_is -a demo -d 'A minute of it on this host, removed afterwards'

complete -c planctonctl -n '__planctonctl_verb_is status plan check history simulate' -l json -d 'Print JSON'
complete -c planctonctl -n '__planctonctl_verb_is status' -l watch -d 'Show it again and again'
complete -c planctonctl -n '__planctonctl_verb_is drain' -l stop -d 'Turn the timer off when the last pilot has gone'
complete -c planctonctl -n '__planctonctl_verb_is drain' -l reason -x -d 'Why; shown by status and in the journal'
complete -c planctonctl -n '__planctonctl_verb_is force-stop' -l now -d 'Remove pilots without any grace'
complete -c planctonctl -n '__planctonctl_verb_is force-stop' -l yes -d 'Do not ask'
complete -c planctonctl -n '__planctonctl_verb_is check migrate simulate' -F
complete -c planctonctl -n '__planctonctl_verb_is simulate' -a 'constant noisy developer farm laptop site journal'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l against -r -F -d 'Compare with this configuration too'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l policy -x -a 'plancton 0.6 slice plancton,0.6,slice' -d 'Which rules'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l cpus -x -d 'The CPUs of the host'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l memory -x -d 'The memory of the host'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l from -x -d 'Leave out so much at the beginning'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l for -x -d 'How long'
complete -c planctonctl -n '__planctonctl_verb_is history simulate' -l since -x -d 'The first entry of the journal'
complete -c planctonctl -n '__planctonctl_verb_is history simulate' -l until -x -d 'The last entry of the journal'
complete -c planctonctl -n '__planctonctl_verb_is history' -l journal -r -F -d 'What journalctl -o json printed'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l cadence -x -d 'Of ticks'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l tasks -x -d 'How long tasks run'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l latency -x -d 'How long a pilot takes to get its task'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l stop-time -x -d 'How long it takes to end on SIGTERM'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l usage -x -d 'What tasks use of their cores'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l memory-usage -x -d 'What tasks use of their memory'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l no-work -x -d 'Pilots that find no work'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l failed -x -d 'Pilots that fail'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l seed -x -d 'Of all that is drawn by chance'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l hosts -x -d 'A fleet of so many hosts'
complete -c planctonctl -n '__planctonctl_verb_is simulate' -l processes -x -d 'For a fleet'
complete -c planctonctl -n '__planctonctl_verb_is history simulate' -l svg -r -F -d 'Draw a picture'
complete -c planctonctl -n '__planctonctl_verb_is history simulate' -l png -r -F -d 'Draw a picture'
complete -c planctonctl -n '__planctonctl_verb_is history simulate' -l title -x -d 'Of the picture'
complete -c planctonctl -n '__planctonctl_verb_is demo' -l seconds -x -d 'How long'
complete -c planctonctl -n '__planctonctl_verb_is demo' -l cadence -x -d 'Of ticks, in seconds'
complete -c planctonctl -n '__planctonctl_verb_is demo' -l engine -x -a private -d 'Which engine'
complete -c planctonctl -n '__planctonctl_verb_is demo' -l owner-from -x -d 'When the owner comes back, in seconds'
complete -c planctonctl -n '__planctonctl_verb_is demo' -l owner-for -x -d 'For how long, in seconds'
complete -c planctonctl -n '__planctonctl_verb_is demo' -l instance -x -d 'What everything is named after'
