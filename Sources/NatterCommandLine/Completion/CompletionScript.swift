public import NatterModel

/// A shell that can complete words with a script.
public enum Shell: String, CaseIterable, Sendable {
    case bash, zsh, fish

    /// The script that passes a line to a program's `__complete` and offers the printed words.
    ///
    /// It calls the program on PATH, never one that is still being typed.
    public func completionScript(for program: String) -> String {
        switch self {
        case .bash: Shell.bashScript(program)
        case .zsh: Shell.zshScript(program)
        case .fish: Shell.fishScript(program)
        }
    }

    /// For bash 4.4 and newer, with or without the package bash-completion.
    private static func bashScript(_ program: String) -> String {
        #"""
        # bash completion for \#(program)
        _\#(program)() {
            local lines
            mapfile -t lines < <(command \#(program) __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
            case ${lines[0]-} in
            files*) compopt -o default ;;
            directories*) compopt -o dirnames ;;
            esac
            COMPREPLY=("${lines[@]:1}")
        }
        complete -F _\#(program) \#(program)

        """#
    }

    /// For zsh 5, as a function in `fpath` or sourced. zsh quotes the inserted text itself.
    private static func zshScript(_ program: String) -> String {
        #"""
        #compdef \#(program)
        # zsh completion for \#(program)
        _\#(program)() {
            local -a before lines
            local source index tab=$'\t'
            for ((index = 2; index < CURRENT; index++)); do before+=("${(Q)words[index]}"); done
            lines=("${(@f)$(command \#(program) __complete words "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}")
            source=${lines[1]}
            shift lines
            [[ $source != *= ]] || compset -P '*='
            case $source in
            files*) _files ;;
            directories*) _files -/ ;;
            words*)
                (( $#lines )) || _message 'a word'
                if [[ ${lines[1]-} != *$tab* ]]; then
                    compadd -a lines
                else
                    lines=("${(@)lines/$tab/:}")
                    if [[ $PREFIX == -* ]]; then _describe -o -t options option lines
                    else _describe -t commands command lines; fi
                fi
                ;;
            *) return 1 ;;
            esac
        }
        # Read as a file of fpath, this is the function's body; read by ".", only its definition.
        if [[ ${funcstack[1]} == _\#(program) ]]; then
            _\#(program) "$@"
        else
            compdef _\#(program) \#(program)
        fi

        """#
    }

    /// For fish 3. fish quotes the inserted text itself.
    private static func fishScript(_ program: String) -> String {
        #"""
        # fish completion for \#(program)
        function __\#(program)_complete
            set -l before (commandline -opc)
            set -e before[1]
            set -l current (commandline -ct)
            set -l lines (command \#(program) __complete words $before "$current" 2>/dev/null)
            set -q lines[1]; or return
            set -l kind $lines[1]
            set -e lines[1]
            set -l prefix ''
            if string match -q -- '*=' "$kind"
                set prefix (string replace -r -- '=.*' '=' "$current")
                set current (string replace -r -- '^[^=]*=' '' "$current")
            end
            switch "$kind"
                case 'files*'
                    printf '%s\n' $prefix(__fish_complete_path "$current")
                case 'directories*'
                    printf '%s\n' $prefix(__fish_complete_directories "$current")
                case 'words*'
                    printf '%s\n' $prefix$lines
            end
        end
        complete -c \#(program) -f -a '(__\#(program)_complete)'

        """#
    }
}

extension CommandSpec {
    /// `completion bash|zsh|fish`: prints the script of a program.
    ///
    /// - Parameter names: where the names of users and conversations come from, if they are completed.
    public static func completion(
        program: String, group: Phrase = "", isHidden: Bool = false, names: Phrase? = nil
    ) -> CommandSpec {
        CommandSpec(
            "completion", "print a shell's completion script", group: group, isHidden: isHidden,
            operands: [.required("SHELL", oneOf: Shell.allCases.map(\.rawValue), "the shell")],
            description: [
                "Print the completion script of a shell. It completes commands, options, files, and values of which there "
                    + "are only a few."
            ] + (names.map { [$0] } ?? []) + [
                "'make install' and the Debian package put the scripts in the directories that the shells search."
            ],
            examples: [
                Example(". <(\(program) completion bash)", "turn on completion in this bash"),
                Example(
                    "\(program) completion fish >~/.config/fish/completions/\(program).fish",
                    "turn on completion in fish for good"),
            ],
            run: { arguments, console in
                guard let shell = arguments.operand("SHELL").flatMap(Shell.init) else { return .usage }
                try console.output.write(shell.completionScript(for: program))
                return .success
            })
    }
}
