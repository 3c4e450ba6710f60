# Completion of planctonctl, plancton-tick, plancton-pull and plancton-metrics for bash.
#
# As /usr/share/bash-completion/completions/planctonctl, with links of the other names to it.

_plancton_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_plancton_words() {
    mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
}

_plancton() {
    local cur=$2 prev=$3 verb='' options='' common='--config --help' word at
    local verbs='status plan drain resume start stop force-stop check migrate history simulate demo'
    COMPREPLY=()

    case $prev in
        --config | --against | --journal | --svg | --png)
            _plancton_files "$cur"
            return
            ;;
        --policy)
            _plancton_words "$cur" 'plancton 0.6 slice plancton,0.6,slice'
            return
            ;;
        --cpus | --memory | --from | --for | --since | --until | --tasks | --latency | --stop-time | \
            --usage | --memory-usage | --no-work | --failed | --seed | --hosts | --processes | --title)
            return
            ;;
        --reason | --timeout | --seconds | --cadence | --engine | --owner-from | --owner-for | --instance)
            return
            ;;
    esac

    case ${COMP_WORDS[0]##*/} in
        plancton-tick)
            [[ $cur != -* ]] || _plancton_words "$cur" "$common --dry-run --json --version"
            return
            ;;
        plancton-pull)
            [[ $cur != -* ]] || _plancton_words "$cur" "$common --timeout --version"
            return
            ;;
        plancton-metrics)
            [[ $cur != -* ]] || _plancton_words "$cur" "$common --print --user --version"
            return
            ;;
    esac

    # The verb is the first word that is neither an option nor the value of one.
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        case $word in
            --config) ((at++)) ;;
            -*) ;;
            *)
                verb=$word
                break
                ;;
        esac
    done

    common="$common --user"
    case $verb in
        '')
            if [[ $cur == -* ]]; then
                _plancton_words "$cur" "$common --version"
            else
                _plancton_words "$cur" "$verbs"
            fi
            return
            ;;
        status) options='--json --watch' ;;
        plan) options='--json' ;;
        drain) options='--stop --reason' ;;
        force-stop) options='--now --yes' ;;
        check) options='--json' ;;
        history) options='--since --until --journal --json --svg --png --title' ;;
        simulate)
            options='--against --policy --cpus --memory --from --for --since --until --cadence --tasks
                --latency --stop-time --usage --memory-usage --no-work --failed --seed --hosts
                --processes --json --svg --png --title'
            ;;
        demo)
            common='--help'
            options='--seconds --cadence --engine --owner-from --owner-for --instance'
            ;;
    esac
    if [[ $cur == -* ]]; then
        _plancton_words "$cur" "$options $common"
    elif [[ $verb == check || $verb == migrate ]]; then
        _plancton_files "$cur"
    elif [[ $verb == simulate ]]; then
        _plancton_words "$cur" 'constant noisy developer farm laptop site journal'
        ((${#COMPREPLY[@]})) || _plancton_files "$cur"
    fi
}

complete -F _plancton planctonctl plancton-tick plancton-pull plancton-metrics
