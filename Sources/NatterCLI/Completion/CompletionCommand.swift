public import NatterLanguage

extension CommandSpec {
    /// `completion bash|zsh|fish`: prints a script of a program.
    ///
    /// - Parameter completion: made when the command is run, since the program's table holds this row.
    public static func completion(
        program: String, group: Phrase = "", isHidden: Bool = false,
        _ completion: @escaping @Sendable () -> Completion
    ) -> CommandSpec {
        CommandSpec(
            "completion", "print a script with which a shell completes", group: group, isHidden: isHidden,
            operands: [.required("SHELL", oneOf: Shell.allCases.map(\.rawValue), "the shell")],
            description: [
                "Prints the script for a shell: commands, options, their values, files. Where the names of users and "
                    + "conversations are wanted, they come from what was last synced, without a request.",
                "'make install' and the Debian package put the scripts where the shells look for them.",
            ],
            examples: [
                Example(". <(\(program) completion bash)", "completion in this bash"),
                Example(
                    "\(program) completion fish >~/.config/fish/completions/\(program).fish", "for good, in fish"),
            ],
            run: { arguments, console in
                guard let shell = arguments.operand("SHELL").flatMap(Shell.init) else { return .usage }
                try console.output.write(completion().script(for: shell))
                return .success
            })
    }
}
