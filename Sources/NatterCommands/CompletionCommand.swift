internal import NatterCLI

/// `completion SHELL`, for this program's table.
enum CompletionCommand {
    static let spec = CommandSpec.completion(program: "natter", group: NatterProgram.Group.program) { completion }

    private static var completion: Completion {
        Completion(
            NatterProgram.spec, namesCommand: NamesCommand.name,
            contextOptions: ["--home", "--profile", "--token-file"], kind: kind)
    }

    @Sendable private static func kind(path: [String], placeholder: String) -> WordKind {
        // A group has one name, whichever word of the table stands for it; a new one has none yet.
        if path.first == "group", placeholder == "NAME", path.last != "create" { return .names("groups") }
        return .usual(placeholder)
    }
}
