extension Completion {
    /// For zsh 5, as a function in `fpath` or sourced. zsh quotes what it inserts by itself.
    var zsh: String {
        let function = "_\(identifier)"
        let table = rows.map { row in
            """
                    \(Shell.zsh.quoted(row.path)))
                        subcommands=(\(described(row.commands.map { ($0.name, $0.summary) })))
                        flags=(\(described(row.flags.map { ($0.spelling, $0.help) })))
                        values=(\(described(row.values.map { ($0.spelling, $0.help) })))
                        kinds=(\(row.values.map { "\($0.spelling) \($0.kind.code)" }.joined(separator: " ")))
                        operands=(\(row.operands.map(\.code).joined(separator: " "))) repeats=\(row.repeats ? 1 : 0) dashes=\(row.dashWords.code)
                        ;;
            """
        }
        return """
            #compdef \(program.name)
            # zsh completion for \(program.name). \(remark)

            # What can follow the words $1 of a command.
            \(function)_row() {
                case $1 in
            \(table.joined(separator: "\n"))
                esac
            }

            """ + zshFunctions + """

                # Read as a file of fpath, this is the function's body; read by ".", only its definition.
                if [[ ${funcstack[1]} == \(function) ]]; then
                    \(function) "$@"
                else
                    compdef \(function) \(program.name)
                fi

                """
    }

    /// `'log:print messages' …`, as `_describe` wants it.
    private func described(_ words: [(String, String)]) -> String {
        words.map { word, help in
            // All up to the first colon is the word; no command and no option has one.
            Shell.zsh.quoted("\(word):\(help)")
        }.joined(separator: " ")
    }

    private var zshFunctions: String {
        let function = "_\(identifier)"
        let names = namesCommand.map { "\(program.name) \($0)" } ?? "false"
        let context = contextOptions.joined(separator: " ")
        return #"""
            \#(function)_offer_kind() {
                local -a found
                local start=''
                case $1 in
                file) _files ;;
                directory) _files -/ ;;
                command) _command_names -e || _files ;;
                one:*) compadd -- ${(s.:.)1#one:} ;;
                names:*)
                    [[ ${(Q)PREFIX} != @* ]] || start=@
                    # The program on PATH, never one that is only being typed.
                    found=("${(@f)$(command \#(names) $context "${1#names:}" "$start" 2>/dev/null)}")
                    found=("${(@)found:#}")
                    compadd -a found
                    ;;
                *) _message 'a word' ;;
                esac
            }

            # Keeps an option and its value, as it was typed, if names depend on it.
            \#(function)_keep() {
                (( ${${=:-\#(context)}[(Ie)$1]} )) || return 0
                local value=${(Q)2}
                [[ $2 != '~/'* ]] || value=$HOME/${value#'~/'}
                context+=("$1" "$value")
            }

            \#(function)() {
                local -a subcommands flags values operands common_flags common_values context names
                local -A kinds common_kinds
                local path_words='' repeats dashes count=0 ended='' help='' waiting='' word index

                \#(function)_row ''
                common_flags=("${(@)flags}") common_values=("${(@)values}") common_kinds=("${(@kv)kinds}")
                flags=() values=() kinds=()
                for ((index = 2; index < CURRENT; index++)); do
                    word=${(Q)words[index]}
                    if [[ -n $waiting ]]; then
                        \#(function)_keep "$waiting" "${words[index]}"
                        waiting=''
                    elif [[ $dashes == operands ]]; then
                        ((++count))
                    elif [[ -z $ended && $word == -- ]]; then
                        ended=1
                    elif [[ -z $ended && $word == -?* ]]; then
                        if [[ -n ${kinds[(e)${word%%=*}]-${common_kinds[(e)${word%%=*}]-}} ]]; then
                            if [[ $word == *=* ]]; then
                                \#(function)_keep "${word%%=*}" "${words[index]#*=}"
                            else
                                waiting=$word
                            fi
                        elif [[ $dashes == known ]] && (( ! ${${flags%%:*}[(Ie)$word]} && ! ${${common_flags%%:*}[(Ie)$word]} )); then
                            ((++count))
                        fi
                    elif (( $#subcommands )); then
                        if [[ -z $path_words && -z $help && $word == help ]]; then
                            help=1
                            continue
                        fi
                        names=("${(@)subcommands%%:*}")
                        (( ${names[(Ie)$word]} )) || return 1
                        path_words+=${path_words:+ }$word
                        \#(function)_row "$path_words"
                    else
                        ((++count))
                    fi
                done

                word=${(Q)PREFIX}
                if [[ -n $waiting ]]; then
                    \#(function)_offer_kind "${kinds[(e)$waiting]-${common_kinds[(e)$waiting]}}"
                elif [[ -n $help ]]; then
                    _describe -t commands command subcommands
                elif [[ -z $ended && $dashes != operands && $word == --*=* ]] && compset -P '*='; then
                    \#(function)_offer_kind "${kinds[(e)${word%%=*}]-${common_kinds[(e)${word%%=*}]-}}"
                elif [[ -z $ended && $dashes != operands && $word == -* ]]; then
                    flags+=("${(@)common_flags}" "${(@)values}" "${(@)common_values}")
                    _describe -o -t options option flags
                elif (( $#subcommands )); then
                    _describe -t commands command subcommands
                else
                    if (( count >= $#operands && repeats )); then (( count = $#operands - 1 )); fi
                    (( count < $#operands )) || return 1
                    \#(function)_offer_kind "${operands[count + 1]}"
                fi
            }
            """#
    }
}
