internal import NatterModel

/// A page of the manual in mdoc(7): the table of commands, and prose about what is more than help says.
///
/// NAME, SYNOPSIS, OPERANDS and OPTIONS come from the table. DESCRIPTION begins with the command's description there, and
/// COMMANDS has an item for each command of the page. The prose has the other sections, in mdoc with these abbreviations:
/// - The prose of a program's own page begins with its `.Nd` line.
/// - DESCRIPTION continues the table's text, in the same paragraph unless it begins with `.Pp`.
/// - COMMANDS continues the text of the command 'user add' below `.Ss user add`.
/// - EXIT STATUS has only items. The list and the reference to the program's page are added.
/// - EXAMPLES has commands indented by four spaces, without mdoc's escapes.
/// - SEE ALSO is a line such as `natter-log(1) natter-formats(5)`.
public struct ManualPage {
    private static let date = "November 20, 2026"

    /// The page, with a line break at its end.
    public private(set) var text = ""
    private let program: ProgramSpec
    /// The commands that the page describes, and those that only have subcommands.
    private let paths: [CommandPath]
    private let words: TableText

    /// - Parameter command: the command that the page describes, or nil for the program's own page.
    /// - Throws: if the prose has options, or names a command that the table lacks, or if the table names an option that
    ///   no command of the page has.
    public init(_ program: ProgramSpec, command: CommandSpec? = nil, prose: String) throws(CommandFailure) {
        self.program = program
        let described = command.map { [$0] } ?? (program.hasOnePage ? program.commands.shown : [])
        paths = described.flatMap { ManualPage.paths(of: $0, below: []) }
        words = TableText(
            options: program.options + paths.flatMap(\.command.options), paths.flatMap(\.command.operands))
        let name = command.map { "\(program.name)-\($0.name)" } ?? program.name
        let section = program.hasOnePage ? 8 : 1
        add(".Dd \(ManualPage.date)", ".Dt \(name.uppercased()) \(section)", ".Os", ".Sh NAME", ".Nm \(name)")
        var lines = prose.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        add(command.map { ".Nd \($0.summary.english)" } ?? String(lines.popFirst() ?? ""))
        add(".Sh SYNOPSIS")
        if paths.isEmpty { add(".Nm", ".Op Ar OPTION ...", ".Ar COMMAND", ".Op Ar ARGUMENT ...") }
        for path in leaves { text += path.synopsisMdoc(program: program.name) }
        add(".Sh DESCRIPTION")
        if let command {
            try add(
                command.description.isEmpty ? [TableText.sentence(command.summary)] : command.description.map(\.english)
            )
        }
        copy(ManualPage.section("DESCRIPTION", from: &lines))
        let commands = ManualPage.section("COMMANDS", from: &lines)
        if paths.isEmpty { addPages(commands) } else { try addCommands(commands) }
        let common: [Row] = program.options.map { ($0.itemMdoc, $0.manual, ManualPage.everyCommand) }
        let operands = leaves.flatMap { path in path.command.operands.map { ($0.mdoc, $0.manual, path.text) } }
        let options = leaves.flatMap { path in path.command.options.map { ($0.itemMdoc, $0.manual, path.text) } }
        try add("OPERANDS", operands)
        try add("OPTIONS", (command == nil ? common : []) + options)
        while let heading = lines.popFirst() {
            let section = lines.prefix { !$0.hasPrefix(".Sh ") }
            lines = lines.dropFirst(section.count)
            add(String(heading))
            switch heading {
            case ".Sh DESCRIPTION", ".Sh COMMANDS", ".Sh OPERANDS", ".Sh OPTIONS":
                throw CommandFailure.badPage("'\(heading)' is in the wrong place, or belongs to the table of commands")
            case ".Sh EXIT STATUS" where command != nil: addStatus(section)
            case ".Sh EXAMPLES": addExamples(section)
            case ".Sh SEE ALSO": addReferences(section)
            default: copy(section)
            }
        }
    }

    /// A command and those below it.
    private static func paths(of command: CommandSpec, below names: [String]) -> [CommandPath] {
        let names = names + [command.name]
        return [CommandPath(names: names, command: command)]
            + command.subcommands.flatMap { paths(of: $0, below: names) }
    }

    /// The commands that do something.
    private var leaves: [CommandPath] { paths.filter(\.command.subcommands.isEmpty) }

    /// Removes a section that the prose begins with, and returns its lines.
    private static func section(_ heading: String, from lines: inout ArraySlice<Substring>) -> ArraySlice<Substring> {
        guard lines.first == ".Sh \(heading)" else { return [] }
        let section = lines.dropFirst().prefix { !$0.hasPrefix(".Sh ") }
        lines = lines.dropFirst(section.count + 1)
        return section
    }

    private mutating func add(_ lines: String...) { copy(lines) }

    private mutating func copy(_ lines: some Sequence<some StringProtocol>) {
        for line in lines { text += "\(line)\n" }
    }

    /// Paragraphs of the table.
    private mutating func add(_ paragraphs: [String]) throws(CommandFailure) {
        copy(try words.mdoc(paragraphs.joined(separator: "\n\n")))
    }

    /// The list of all commands, with their pages.
    private mutating func addPages(_ section: ArraySlice<Substring>) {
        add(".Sh COMMANDS")
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

    /// The commands with their descriptions, unless the page is that of a single one.
    private mutating func addCommands(_ section: ArraySlice<Substring>) throws(CommandFailure) {
        var prose: [String: ArraySlice<Substring>] = [:]
        var rest = section.drop { !$0.hasPrefix(".Ss ") }
        while let heading = rest.popFirst() {
            let lines = rest.prefix { !$0.hasPrefix(".Ss ") }
            prose[String(heading.dropFirst(4))] = lines
            rest = rest.dropFirst(lines.count)
        }
        // A page of one command with subcommands describes the command itself in DESCRIPTION.
        let listed = program.hasOnePage ? paths : Array(paths.dropFirst())
        if !listed.isEmpty { add(".Sh COMMANDS", ".Bl -tag -width Ds") }
        for path in listed {
            let lines = prose.removeValue(forKey: path.text)
            let command = path.command
            if !command.subcommands.isEmpty, command.description.isEmpty { continue }
            add(path.itemMdoc)
            var paragraphs = command.description.map(\.english)
            let summary = TableText.sentence(command.summary)
            // A description that begins with the verb of the summary says it again.
            if paragraphs.first?.prefix(while: \.isLetter) != summary.prefix(while: \.isLetter) {
                paragraphs = [([summary] + paragraphs.prefix(1)).joined(separator: " ")] + paragraphs.dropFirst()
            }
            try add(paragraphs)
            copy(lines ?? [])
        }
        if !listed.isEmpty { add(".El") }
        if let name = prose.keys.min() { throw CommandFailure.badPage("there is no command '\(name)'") }
    }

    /// A word of a command line, its meaning, and the command that takes it.
    private typealias Row = (item: String, meaning: String, command: String)

    private static let everyCommand = "every command"

    /// Operands or options, below the commands that take them. Equal rows of several commands are one item.
    private mutating func add(_ section: String, _ rows: [Row]) throws(CommandFailure) {
        guard !rows.isEmpty else { return }
        var items: [Row] = []
        for row in rows {
            guard let index = items.firstIndex(where: { $0.item == row.item && $0.meaning == row.meaning }) else {
                items.append(row)
                continue
            }
            if items[index].command != ManualPage.everyCommand { items[index].command += ", \(row.command)" }
        }
        add(".Sh \(section)")
        var heading: String?
        for item in items {
            if heading != item.command {
                if heading != nil { add(".El") }
                if paths.count != 1 { add(".Ss \(item.command)") }
                add(".Bl -tag -width Ds")
                heading = item.command
            }
            add(".It \(item.item)")
            try add([item.meaning])
        }
        add(".El")
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
        let words =
            names.map { "Cm \(Mdoc.escaped($0))" } + (command.options.isEmpty ? [] : ["Oo Ar OPTION ... Oc"])
            + (command.subcommands.isEmpty ? [] : [Mdoc.alternatives(command.subcommands.map(\.name))])
            + command.operands.map { $0.isOptional ? "Oo \($0.mdoc) Oc" : $0.mdoc }
        return ".It " + words.joined(separator: " ")
    }

    /// The SYNOPSIS of this command in mdoc(7): a `.Nm` line, then a line for each word, option and operand. Each ends
    /// with a line break.
    public func synopsisMdoc(program: String) -> String {
        var lines = [".Nm \(Mdoc.escaped(program))"] + names.map { ".Cm \(Mdoc.escaped($0))" }
        lines += command.options.map(\.mdoc)
        if !command.subcommands.isEmpty {
            lines.append("." + Mdoc.alternatives(command.subcommands.map(\.name)))
        }
        let (last, operands) = (command.operands.lastIndex { !$0.isOptional } ?? -1, command.operands)
        lines += operands.prefix(last + 1).map { $0.isOptional ? ".Op \($0.mdoc)" : ".\($0.mdoc)" }
        let optional = operands.dropFirst(last + 1)
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

    /// `Fl n Ar N , Fl -limit Ar N`.
    fileprivate var itemMdoc: String {
        spellings.map { "Fl \($0.dropFirst())\(valueMdoc)" }.joined(separator: " , ")
    }

    fileprivate var manual: String {
        TableText.sentence(help) + (isRepeatable ? " You can repeat the option." : "")
            + (long.isEmpty ? "" : " \(long)")
    }

    /// ` Ar SEQ` or ` Cm auto | never`. It is empty for a flag.
    fileprivate var valueMdoc: String {
        choices.isEmpty ? placeholder.map { " Ar \(Mdoc.escaped($0))" } ?? "" : " " + Mdoc.alternatives(choices)
    }
}

extension OperandSpec {
    fileprivate var manual: String { TableText.sentence(help) }

    /// `Ar CONV`, without the brackets of an optional operand.
    var mdoc: String {
        (choices.isEmpty ? "Ar \(Mdoc.escaped(name))" : Mdoc.alternatives(choices)) + (isRepeating ? " ..." : "")
    }
}

extension CommandFailure {
    fileprivate static func badPage(_ problem: String) -> CommandFailure {
        CommandFailure(.invalidData, code: "bad_prose", Phrase(verbatim: problem))
    }
}

/// The table's text as mdoc(7).
///
/// An option, a placeholder of the page's commands, words in single quotes and a page such as natter-log(1) each become a
/// macro. A blank line separates paragraphs.
private struct TableText {
    private let spellings: Set<String>
    private let placeholders: Set<String>

    init(options: [OptionSpec], _ operands: [OperandSpec]) {
        spellings = Set(options.flatMap(\.spellings))
        placeholders = Set(options.filter(\.choices.isEmpty).compactMap(\.placeholder) + operands.map(\.name))
    }

    /// One line of help with a capital and a full stop.
    static func sentence(_ help: Phrase) -> String {
        let text = help.english
        return text.prefix(1).uppercased() + text.dropFirst() + (text.hasSuffix(".") ? "" : ".")
    }

    /// Lines of mdoc. Each sentence begins a line.
    func mdoc(_ text: String) throws(CommandFailure) -> [String] {
        var (lines, line) = ([String](), [Substring]())
        func flush() {
            let text = line.joined(separator: " ").split(separator: "\\", omittingEmptySubsequences: false)
                .joined(separator: "\\e")
            if !line.isEmpty { lines.append((text.hasPrefix(".") || text.hasPrefix("'") ? "\\&" : "") + text) }
            line = []
        }
        for paragraph in text.split(separator: "\n\n") {
            if !lines.isEmpty { lines.append(".Pp") }
            var words = paragraph.split { $0 == " " || $0 == "\n" }[...]
            while let word = words.popFirst() {
                let opening = word.hasPrefix("(") ? "( " : ""
                if let (macro, argument, rest) = try macro(word.dropFirst(opening.isEmpty ? 0 : 1), &words) {
                    flush()
                    lines.append(".\(macro) \(opening)\(argument)" + Mdoc.trailing(rest))
                } else {
                    line.append(word)
                    if word.hasSuffix(".") || word.hasSuffix(".)") { flush() }
                }
            }
            flush()
        }
        return lines
    }

    /// The macro of a word, its argument, and the characters behind it, or nil for plain text. A quotation takes more words.
    private func macro(
        _ word: Substring, _ words: inout ArraySlice<Substring>
    ) throws(CommandFailure) -> (name: String, argument: String, rest: Substring)? {
        if word.hasPrefix("'") {
            var quoted = word.dropFirst()
            while true {
                let end = quoted.indices.first {
                    quoted[$0] == "'" && quoted[$0...].dropFirst().first?.isLetter != true
                }
                if let end {
                    let inside = quoted[..<end].split(separator: " ").map { Mdoc.escaped(String($0)) }
                    return ("Ql", inside.joined(separator: " "), quoted[end...].dropFirst())
                }
                guard let next = words.popFirst() else { throw CommandFailure.badPage("\(word) has no closing quote") }
                quoted += " " + next
            }
        }
        let dashes = word.prefix { $0 == "-" }
        let name = word.dropFirst(dashes.count).prefix { $0 == "-" || $0.isLetter || $0.isNumber }
        // A short option has one letter. Other words with one dash are examples, such as '-word' of a query.
        if name.first?.isLetter == true, dashes == (name.count == 1 ? "-" : "--") {
            let option = "\(dashes)\(name)"
            guard spellings.contains(option) else { throw CommandFailure.badPage("there is no option '\(option)'") }
            return ("Fl", String(option.dropFirst()), word.dropFirst(option.count))
        }
        let placeholder = placeholders.filter { word.hasPrefix($0) && word.dropFirst($0.count).first?.isLetter != true }
            .max { $0.count < $1.count }
        if let placeholder { return ("Ar", Mdoc.escaped(placeholder), word.dropFirst(placeholder.count)) }
        let page = word.split(separator: "(")
        guard page.count == 2, let section = page[1].first, section.isNumber, page[1].dropFirst().first == ")" else {
            return nil
        }
        return ("Xr", "\(page[0]) \(section)", page[1].dropFirst(2))
    }
}

/// Words as arguments of an mdoc(7) macro line.
enum Mdoc {
    static func alternatives(_ words: [String]) -> String {
        "Cm " + words.map(escaped).joined(separator: " | ")
    }

    /// What follows an argument without a space, as further arguments.
    static func trailing(_ rest: Substring) -> String {
        let punctuation = rest.reversed().prefix { ".,:;)?!".contains($0) }.reversed()
        let joined = rest.dropLast(punctuation.count)
        return (joined.isEmpty ? "" : " Ns \(escaped(String(joined)))") + punctuation.map { " \($0)" }.joined()
    }

    /// Escapes a word, so that it is not read as an escape, a macro or punctuation.
    static func escaped(_ word: String) -> String {
        var result = ""
        for character in word { result += character == "\\" ? "\\e" : character == "\"" ? "\\(dq" : String(character) }
        // Macros have two or three letters, and the first is a capital: `Ar`, `No`, `Brc`.
        let letters = word.utf8.count
        let isMacroLike =
            (2...3).contains(letters) && word.first?.isUppercase == true && word.dropFirst().allSatisfy(\.isLowercase)
        let isPunctuation = letters == 1 && ".,:;()[]?!|".contains(word)
        if isMacroLike || isPunctuation { return "\\&" + result }
        return result.contains(" ") ? "\"\(result)\"" : result
    }
}
