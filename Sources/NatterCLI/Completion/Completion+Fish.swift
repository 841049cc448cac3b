extension Completion {
    /// For fish 3. fish quotes what it inserts by itself.
    var fish: String {
        let function = "__\(identifier)"
        let table = rows.map { row in
            """
                    case \(Shell.fish.quoted(row.path))
                        set commands \(described(row.commands.map { ($0.name, $0.summary) }))
                        set flags \(described(row.flags.map { ($0.spelling, $0.help) }))
                        set values \(described(row.values.map { ($0.spelling, $0.help) }))
                        set kinds \(row.values.map { "\($0.spelling)=\($0.kind.code)" }.joined(separator: " "))
                        set operands \(row.operands.map(\.code).joined(separator: " "))
                        set repeats \(row.repeats ? 1 : 0)
                        set dashes \(row.dashWords.code)
            """
        }
        return """
            # fish completion for \(program.name). \(remark)

            # What can follow the words $argv of a command.
            function \(function)_row --no-scope-shadowing
                switch "$argv"
            \(table.joined(separator: "\n"))
                end
            end

            """ + fishFunctions + "\ncomplete -c \(program.name) -f -a '(\(function)_complete)'\n"
    }

    /// `'log'\t'print messages' …`, as fish splits a word from what it means.
    private func described(_ words: [(String, String)]) -> String {
        words.map { word, help in Shell.fish.quoted(word) + "\\t" + Shell.fish.quoted(help) }.joined(separator: " ")
    }

    private var fishFunctions: String {
        let function = "__\(identifier)"
        let names = namesCommand.map { "\(program.name) \($0)" } ?? "false"
        let context = contextOptions.joined(separator: " ")
        return #"""
            # Offers words of the kind $argv[1]; each with $argv[2] before it.
            function \#(function)_offer_kind --no-scope-shadowing
                set -l kind $argv[1]
                set -l prefix $argv[2]
                set -l typed (string replace -r -- '^--[^=]*=' '' "$current")
                switch "$kind"
                    case file
                        printf '%s\n' $prefix(__fish_complete_path "$typed")
                    case directory
                        printf '%s\n' $prefix(__fish_complete_directories "$typed")
                    case command
                        printf '%s\n' $prefix(__fish_complete_command)
                    case 'one:*'
                        printf '%s\n' $prefix(string split : (string replace one: '' "$kind"))
                    case 'names:*'
                        set -l start
                        string match -q -- '@*' "$typed"; and set start @
                        # The program on PATH, never one that is only being typed.
                        printf '%s\n' $prefix(command \#(names) $context (string replace names: '' "$kind") "$start" 2>/dev/null)
                end
            end

            # Keeps an option and its value if names depend on it.
            function \#(function)_keep --no-scope-shadowing
                if contains -- $argv[1] \#(context)
                    set -a context $argv[1] (string replace -r '^~/' "$HOME/" -- "$argv[2]")
                end
            end

            # Prints what kind of value the option $argv[1] takes; fails if it takes none.
            function \#(function)_value --no-scope-shadowing
                for row in $kinds $common_kinds
                    if test "$argv[1]" = (string split -m 1 = -- $row)[1]
                        string split -m 1 = -- $row
                        return 0
                    end
                end
                return 1
            end

            function \#(function)_complete
                set -l words (commandline -opc)
                set -e words[1]
                set -l current (commandline -ct)
                set -l commands
                set -l flags
                set -l values
                set -l kinds
                set -l operands
                set -l repeats
                set -l dashes
                set -l path
                set -l context
                set -l count 0
                set -l ended
                set -l help
                set -l waiting
                \#(function)_row
                set -l common_flags $flags
                set -l common_values $values
                set -l common_kinds $kinds
                set flags
                set values
                set kinds
                for word in $words
                    set -l name (string split -m 1 = -- "$word")[1]
                    set -l known (string replace -r '\t.*' '' -- $flags $common_flags)
                    if test -n "$waiting"
                        \#(function)_keep $waiting "$word"
                        set waiting
                    else if test "$dashes" = operands
                        set count (math $count + 1)
                    else if test -z "$ended" -a "x$word" = x--
                        set ended 1
                    else if test -z "$ended"; and string match -q -- '-?*' "$word"
                        if \#(function)_value $name >/dev/null
                            if string match -q -- '*=*' "$word"
                                \#(function)_keep $name (string replace -r -- '^[^=]*=' '' "$word")
                            else
                                set waiting $word
                            end
                        else if test "$dashes" = known; and not contains -- "$word" $known
                            set count (math $count + 1)
                        end
                    else if set -q commands[1]
                        if test -z "$path$help" -a "x$word" = xhelp
                            set help 1
                            continue
                        end
                        contains -- "$word" (string replace -r '\t.*' '' -- $commands); or return
                        set -a path $word
                        \#(function)_row $path
                    else
                        set count (math $count + 1)
                    end
                end

                set -l name (string split -m 1 = -- "$current")[1]
                if test -n "$waiting"
                    \#(function)_offer_kind (\#(function)_value $waiting)[2] ''
                else if test -n "$help"
                    printf '%s\n' $commands
                else if test -z "$ended" -a "$dashes" != operands; and string match -q -- '--*=*' "$current"
                    set -l value (\#(function)_value $name); or return
                    \#(function)_offer_kind $value[2] "$name="
                else if test -z "$ended" -a "$dashes" != operands; and string match -q -- '-*' "$current"
                    printf '%s\n' $flags $common_flags $values $common_values
                else if set -q commands[1]
                    printf '%s\n' $commands
                else
                    set count (math $count + 1)
                    if test $count -gt (count $operands) -a "$repeats" = 1
                        set count (count $operands)
                    end
                    \#(function)_offer_kind "$operands[$count]" ''
                end
            end
            """#
    }
}
