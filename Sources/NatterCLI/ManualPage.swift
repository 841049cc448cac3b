internal import NatterLanguage

/// A page of the manual in mdoc(7): the table of commands, with prose around it.
///
/// NAME, SYNOPSIS and the list of commands come from the table. The prose has the other sections, in mdoc with these
/// abbreviations:
/// - COMMANDS has an item `.It user add` for each command of a program that has one page for all.
/// - OPTIONS has an item `.It limit` for each option, without the other spellings and the placeholder of the value. Below
///   `.Ss copy, import`, it is that of one of these commands.
/// - EXIT STATUS has only items. The list and the reference to the program's page are added.
/// - EXAMPLES has commands indented by four spaces, without mdoc's escapes.
/// - The prose of a program's own page begins with its `.Nd` line.
/// - SEE ALSO is a line such as `natter-log(1) natter-formats(5)`.
public struct ManualPage {
    private static let date = "November 20, 2026"

    /// The page, with a line break at its end.
    public private(set) var text = ""
    private let program: ProgramSpec
    private let options: [OptionSpec]
    /// The commands that the page describes.
    private let paths: [CommandPath]

    /// - Parameter command: the command that the page describes, or nil for the program's own page.
    /// - Throws: if the commands or options in the prose differ from those in the table.
    public init(_ program: ProgramSpec, command: CommandSpec? = nil, prose: String) throws(CommandFailure) {
        self.program = program
        let described = command.map { [$0] } ?? (program.hasOnePage ? program.commands.shown : [])
        paths = described.flatMap { ManualPage.paths(of: $0, below: []) }
        options = (command == nil ? program.options : []) + paths.flatMap(\.command.options)
        let name = command.map { "\(program.name)-\($0.name)" } ?? program.name
        let section = program.hasOnePage ? 8 : 1
        add(".Dd \(ManualPage.date)", ".Dt \(name.uppercased()) \(section)", ".Os", ".Sh NAME", ".Nm \(name)")
        var lines = prose.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        add(command.map { ".Nd \($0.summary.english)" } ?? String(lines.popFirst() ?? ""))
        add(".Sh SYNOPSIS")
        if paths.isEmpty { add(".Nm", ".Op Ar OPTION ...", ".Ar COMMAND", ".Op Ar ARGUMENT ...") }
        for path in paths { text += path.synopsisMdoc(program: program.name) }
        while let heading = lines.popFirst() {
            let section = lines.prefix { !$0.hasPrefix(".Sh ") }
            lines = lines.dropFirst(section.count)
            add(String(heading))
            switch heading {
            case ".Sh COMMANDS" where program.hasOnePage: try addDescriptions(section)
            case ".Sh COMMANDS": addCommands(section)
            case ".Sh OPTIONS": try addOptions(section)
            case ".Sh EXIT STATUS" where command != nil: addStatus(section)
            case ".Sh EXAMPLES": addExamples(section)
            case ".Sh SEE ALSO": addReferences(section)
            default: copy(section)
            }
        }
    }

    /// The commands on one page. A command that only has subcommands is replaced by them.
    private static func paths(of command: CommandSpec, below names: [String]) -> [CommandPath] {
        let names = names + [command.name]
        guard !command.subcommands.isEmpty else { return [CommandPath(names: names, command: command)] }
        return command.subcommands.flatMap { paths(of: $0, below: names) }
    }

    private mutating func add(_ lines: String...) { copy(lines) }

    private mutating func copy(_ lines: some Sequence<some StringProtocol>) {
        for line in lines { text += "\(line)\n" }
    }

    private mutating func addCommands(_ section: ArraySlice<Substring>) {
        copy(section)
        let commands = program.commands.shown
        let widest = commands.max { $0.name.count < $1.name.count }?.name ?? ""
        var group: Phrase?
        for command in commands {
            if group != command.group {
                if group != nil { add(".El") }
                add(".Ss \(command.group.english)", ".Bl -tag -width \"\(program.name)-\(widest)(1)\" -compact")
                group = command.group
            }
            add(".It Xr \(program.name)-\(command.name) 1", command.summary.english)
        }
        add(".El")
    }

    /// The commands with their descriptions. Other items belong to lists in these.
    private mutating func addDescriptions(_ section: ArraySlice<Substring>) throws(CommandFailure) {
        var missing = paths
        add(".Bl -tag -width Ds")
        for line in section {
            let words = line.split(separator: " ")
            if words.first == ".It",
                let index = missing.firstIndex(where: {
                    $0.names.elementsEqual(words.dropFirst()) {
                        $0 == $1
                    }
                })
            {
                add(missing.remove(at: index).itemMdoc)
            } else {
                add(String(line))
            }
        }
        add(".El")
        if let path = missing.first { throw ManualPage.failure("'\(path.names.joined(separator: " "))' is missing") }
    }

    private mutating func addOptions(_ section: ArraySlice<Substring>) throws(CommandFailure) {
        var missing = Set(options.map(\.name))
        var (nearest, isListed) = (options, false)
        for line in section {
            let words = line.split(separator: " ", maxSplits: 1)
            switch words.first {
            case ".It":
                let name = words.dropFirst().first.map(String.init) ?? ""
                guard let option = (nearest + options).first(where: { $0.name == name }) else {
                    throw ManualPage.failure("there is no option '\(name)'")
                }
                missing.remove(name)
                if !isListed { add(".Bl -tag -width Ds") }
                isListed = true
                let spellings = option.spellings.map { "Fl \($0.dropFirst())\(option.valueMdoc)" }
                add(".It " + spellings.joined(separator: " , "))
            case ".Ss":
                let commands = words.dropFirst().joined().split(separator: ",")
                    .map { $0.split(separator: " ").map(String.init) }
                nearest = paths.filter { commands.contains($0.names) }.flatMap(\.command.options)
                if isListed { add(".El") }
                isListed = false
                add(String(line))
            default: add(String(line))
            }
        }
        if isListed { add(".El") }
        if let name = missing.min() { throw ManualPage.failure("the option '\(name)' is missing") }
    }

    private static func failure(_ problem: String) -> CommandFailure {
        CommandFailure(.invalidData, code: "bad_prose", Phrase(verbatim: problem))
    }

    private mutating func addStatus(_ section: ArraySlice<Substring>) {
        guard !section.isEmpty else { return add("See", ".Xr \(program.name) 1 .") }
        add(".Bl -tag -width \"130\" -compact")
        copy(section)
        add(".El", ".Pp", "All others are in", ".Xr \(program.name) 1 .")
    }

    private mutating func addExamples(_ section: ArraySlice<Substring>) {
        var isLiteral = false
        for line in section {
            let begins = line.hasPrefix("    ")
            if begins != isLiteral {
                if begins { add(".Bd -literal -offset indent") } else { add(".Ed", ".Pp") }
                isLiteral = begins
            }
            guard begins else {
                add(String(line))
                continue
            }
            let words = line.dropFirst(4).split(separator: "\\", omittingEmptySubsequences: false)
                .joined(separator: "\\e")
            add((words.hasPrefix(".") || words.hasPrefix("'") ? "\\&" : "") + words)
        }
        if isLiteral { add(".Ed") }
    }

    private mutating func addReferences(_ section: ArraySlice<Substring>) {
        let names = section.flatMap { $0.split(separator: " ") }
        for (index, name) in names.enumerated() {
            let words = name.split { $0 == "(" || $0 == ")" }
            add(".Xr " + words.joined(separator: " ") + (index < names.count - 1 ? " ," : ""))
        }
    }
}

extension CommandSpec {
    /// `__manual [COMMAND]`: renders a page of a program's manual from the prose on standard input. The build uses it.
    public static func manual(of program: @escaping @Sendable () -> ProgramSpec) -> CommandSpec {
        CommandSpec(
            "__manual", Phrase(verbatim: "render a page of the manual"), isHidden: true,
            operands: [.optional("COMMAND", Phrase(verbatim: "the command that it is about"))],
            run: { arguments, console in
                var prose = ""
                while let line = readLine(strippingNewline: false) { prose += line }
                let command = try arguments.operand("COMMAND").flatMap { try program().command(at: [$0])?.command }
                try console.output.write(ManualPage(program(), command: command, prose: prose).text)
                return .success
            })
    }
}

extension CommandPath {
    /// The head of its description in a list: the command and its operands. The SYNOPSIS shows the options.
    fileprivate var itemMdoc: String {
        let optional = command.operands.firstIndex(where: \.isOptional) ?? command.operands.endIndex
        let words =
            names.map { "Cm \(Mdoc.escaped($0))" } + (command.options.isEmpty ? [] : ["Oo Ar OPTION ... Oc"])
            + command.operands[..<optional].map(\.mdoc) + command.operands[optional...].map { "Oo \($0.mdoc) Oc" }
        return ".It " + words.joined(separator: " ")
    }

    /// The SYNOPSIS of this command in mdoc(7): a `.Nm` line, then a line for each word, option and operand. Each ends
    /// with a line break.
    public func synopsisMdoc(program: String) -> String {
        var lines = [".Nm \(Mdoc.escaped(program))"] + names.map { ".Cm \(Mdoc.escaped($0))" }
        lines += command.options.map(\.mdoc)
        if !command.subcommands.isEmpty {
            lines.append(".Cm " + command.subcommands.map { Mdoc.escaped($0.name) }.joined(separator: " | "))
        }
        let required = command.operands.prefix { !$0.isOptional }
        lines += required.map { ".\($0.mdoc)" }
        let optional = command.operands.dropFirst(required.count)
        // `.Op Ar CONV Op Ar SEQ` nests the second pair of brackets in the first.
        if !optional.isEmpty { lines.append("." + optional.map { "Op \($0.mdoc)" }.joined(separator: " ")) }
        return lines.map { $0 + "\n" }.joined()
    }
}

extension OptionSpec {
    /// `.Op Fl n Ar N`.
    public var mdoc: String {
        let spelling = spellings.first ?? self.spelling
        let flag = "Fl \(Mdoc.escaped(String(spelling.dropFirst())))"
        return ".Op \(flag)" + valueMdoc + (isRepeatable ? " ..." : "")
    }

    /// ` Ar SEQ` or ` Cm auto | never`. It is empty for a flag.
    fileprivate var valueMdoc: String {
        choices.isEmpty ? placeholder.map { " Ar \(Mdoc.escaped($0))" } ?? "" : " " + Mdoc.alternatives(choices)
    }
}

extension OperandSpec {
    /// `Ar CONV`, without the brackets of an optional operand.
    var mdoc: String {
        (choices.isEmpty ? "Ar \(Mdoc.escaped(name))" : Mdoc.alternatives(choices)) + (isRepeating ? " ..." : "")
    }
}

/// Words as arguments of an mdoc(7) macro line.
enum Mdoc {
    static func alternatives(_ words: [String]) -> String {
        "Cm " + words.map(escaped).joined(separator: " | ")
    }

    /// Escapes a word, so that it is not read as an escape, a macro or punctuation.
    static func escaped(_ word: String) -> String {
        var result = ""
        for character in word { result += character == "\\" ? "\\e" : String(character) }
        // Macros have two or three letters, and the first is a capital: `Ar`, `No`, `Brc`.
        let letters = word.utf8.count
        let isMacroLike =
            (2...3).contains(letters) && word.first?.isUppercase == true && word.dropFirst().allSatisfy(\.isLowercase)
        let isPunctuation = letters == 1 && ".,:;()[]?!|".contains(word)
        if isMacroLike || isPunctuation { return "\\&" + result }
        return result.contains(" ") ? "\"\(result)\"" : result
    }
}
