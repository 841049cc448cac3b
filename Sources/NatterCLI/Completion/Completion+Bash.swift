extension Completion {
    /// For bash 4.4 and newer, with or without the package bash-completion.
    ///
    /// bash inserts what it is given as it is, so each word is quoted here, in the way of the quotes that stand around
    /// it. And bash takes `@`, `:` and `=` for ends of words, so words are put together here, and what stands before
    /// such an end is left off again.
    var bash: String {
        let function = "_\(identifier)"
        let table = rows.map { row in
            """
                    \(Shell.bash.quoted(row.path)))
                        commands=\(list(row.commands.map(\.name)))
                        flags=\(list(row.flags.map(\.spelling)))
                        values=\(list(row.values.map { "\($0.spelling)=\($0.kind.code)" }))
                        operands=\(list(row.operands.map(\.code))) repeats=\(row.repeats ? 1 : 0) dashes=\(row.dashWords.code)
                        ;;
            """
        }
        return """
            # bash completion for \(program.name). \(remark)

            # What can follow the words $1 of a command.
            \(function)_row() {
                case $1 in
            \(table.joined(separator: "\n"))
                esac
            }

            """ + bashFunctions + "\ncomplete -F \(function) \(program.name)\n"
    }

    private func list(_ words: [String]) -> String { Shell.bash.quoted(words.joined(separator: " ")) }

    private var bashFunctions: String {
        let function = "_\(identifier)"
        let names = namesCommand.map { "\(program.name) \($0)" } ?? "false"
        let context = contextOptions.joined(separator: " ")
        return #"""
            # Sets plain to what the text $1 says without its quotes, and open to the quote that is not closed in it. Fails for
            # what would have to be run to know.
            \#(function)_plain() {
                local rest=$1 character
                plain='' open=''
                while [[ -n $rest ]]; do
                    character=${rest:0:1} rest=${rest:1}
                    case $open$character in
                    "'" | '"') open=$character ;;
                    "''" | '""') open='' ;;
                    '\') plain+=${rest:0:1} rest=${rest:1} ;;
                    '"\')
                        [[ $rest == ['$`"\']* ]] || plain+='\'
                        plain+=${rest:0:1} rest=${rest:1}
                        ;;
                    '$' | '`' | '"$' | '"`') return 1 ;;
                    *) plain+=$character ;;
                    esac
                done
            }

            # Offers those of the words from $1 on that begin with what was typed.
            \#(function)_offer() {
                local word quoted
                for word; do
                    word=$prefix$word
                    [[ $word == "$typed"* ]] || continue
                    word=${word:${#before}}
                    case $quote in
                    "'") quoted=${word//\'/"'\\''"} ;;
                    '"')
                        # Nothing there keeps a "!" from bringing back a former command.
                        [[ $word != *!* ]] || continue
                        quoted=${word//\\/'\\'}
                        quoted=${quoted//\$/'\$'} quoted=${quoted//\`/'\`'} quoted=${quoted//\"/'\"'}
                        ;;
                    *)
                        quoted=''
                        [[ -z $word ]] || printf -v quoted %q "$word"
                        ;;
                    esac
                    COMPREPLY+=("$quoted")
                done
            }

            \#(function)_offer_kind() {
                local -a found
                local value=${typed#"$prefix"}
                case $1 in
                file) compopt -o default ;;
                directory) compopt -o dirnames ;;
                command)
                    mapfile -t found < <(compgen -c -- "$value")
                    \#(function)_offer "${found[@]}"
                    [[ -n ${COMPREPLY[*]} ]] || compopt -o default
                    ;;
                one:*)
                    IFS=: read -ra found <<<"${1#one:}"
                    \#(function)_offer "${found[@]}"
                    ;;
                names:*)
                    local start=''
                    [[ $value != @* ]] || start=@
                    # The program on PATH, never one that is only being typed.
                    mapfile -t found < <(command \#(names) "${context[@]}" "${1#names:}" "$start" 2>/dev/null)
                    \#(function)_offer "${found[@]}"
                    ;;
                esac
            }

            # Sets kind to what the value of the option $1 is; fails if it is none that takes one.
            \#(function)_value() {
                local all=" $values $common_values "
                [[ $1 == -* && $all == *" $1="* ]] || return 1
                kind=${all#*" $1="}
                kind=${kind%% *}
            }

            # Keeps an option and its value, as they were typed, if names depend on it.
            \#(function)_keep() {
                [[ ' \#(context) ' == *" $1 "* ]] || return 0
                \#(function)_plain "$2" || return 0
                [[ $2 != '~/'* ]] || plain=$HOME/${plain:2}
                context+=("$1" "$plain")
            }

            \#(function)() {
                local IFS=$' \t\n' line=${COMP_LINE:0:COMP_POINT} raw=() rest index word
                COMPREPLY=()
                # The words between white space, the last one up to the cursor.
                for ((index = 0; index <= COMP_CWORD; index++)); do
                    word=${COMP_WORDS[index]}
                    rest=${line#"${line%%[![:space:]]*}"}
                    if [[ $rest != "$line" || ${#raw[@]} -eq 0 ]]; then raw+=(''); fi
                    [[ $rest == "$word"* ]] || word=$rest
                    raw[${#raw[@]} - 1]+=$word
                    line=${rest#"$word"}
                done

                local path='' commands flags values operands repeats dashes count=0 ended='' help='' waiting='' kind
                local plain open prefix='' context=() found=() redirected=''
                \#(function)_row ''
                local common_flags=$flags common_values=$values
                flags='' values=''
                local current=${raw[-1]}
                raw=("${raw[@]:1:${#raw[@]}-2}")
                for word in "${raw[@]}"; do
                    # What stands behind a ">" is the shell's, not the command's.
                    if [[ -n $redirected || $word =~ ^[0-9]*[\<\>] ]]; then
                        [[ $word =~ ^[0-9]*[\<\>]+[\&\|]?$ ]] && redirected=1 || redirected=''
                        continue
                    fi
                    if [[ -n $waiting ]]; then
                        \#(function)_keep "$waiting" "$word"
                        waiting=''
                        continue
                    fi
                    rest=$word
                    if \#(function)_plain "$word"; then word=$plain; fi
                    if [[ $dashes == operands ]]; then
                        ((++count))
                    elif [[ -z $ended && $word == -- ]]; then
                        ended=1
                    elif [[ -z $ended && $word == -?* ]]; then
                        if \#(function)_value "${word%%=*}"; then
                            if [[ $word == *=* ]]; then \#(function)_keep "${word%%=*}" "${rest#*=}"; else waiting=$word; fi
                        elif [[ $dashes == known && " $flags $common_flags " != *" $word "* ]]; then
                            ((++count))
                        fi
                    elif [[ -n $commands ]]; then
                        if [[ -z $path && -z $help && $word == help ]]; then
                            help=1
                            continue
                        fi
                        [[ " $commands " == *" $word "* ]] || return 0
                        path+=${path:+ }$word
                        \#(function)_row "$path"
                    else
                        ((++count))
                    fi
                done

                # What readline will replace is $2; what stands before it in the same word must not come again.
                local before='' quote='' typed
                if [[ -n $2 && $current == *"$2" ]]; then
                    \#(function)_plain "${current%"$2"}" || return 0
                    before=$plain quote=$open
                elif [[ -z $2 ]]; then
                    \#(function)_plain "$current" || return 0
                    before=$plain quote=$open
                fi
                \#(function)_plain "$current" || return 0
                typed=$plain

                if [[ -n $redirected || $current =~ ^[0-9]*[\<\>] ]]; then
                    kind='file'
                elif [[ -n $waiting ]]; then
                    \#(function)_value "$waiting"
                elif [[ -n $help ]]; then
                    \#(function)_offer $commands
                    return 0
                elif [[ -z $ended && $dashes != operands && $typed == --*=* ]] && \#(function)_value "${typed%%=*}"; then
                    prefix=${typed%%=*}=
                elif [[ -z $ended && $dashes != operands && $typed == -* ]]; then
                    for word in $flags $common_flags $values $common_values; do found+=("${word%%=*}"); done
                    \#(function)_offer "${found[@]}"
                    return 0
                elif [[ -n $commands ]]; then
                    \#(function)_offer $commands
                    return 0
                else
                    read -ra found <<<"$operands"
                    if ((count >= ${#found[@]} && repeats)); then ((count = ${#found[@]} - 1)); fi
                    kind=${found[count]-}
                fi
                \#(function)_offer_kind "$kind"
            }

            """#
    }
}
