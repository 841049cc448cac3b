import Glibc
import NatterCommandLine
import NatterCommands
import NatterDaemon
import Testing
import TestSupport

/// The manual agrees with the tables of commands.
@Suite("the manual and the tables of commands")
struct ManualTests {
    private static let commands = NatterProgram.spec.commands.filter { !$0.isHidden }.map(\.name)
    private static let daemonCommands = DaemonProgram.spec.commands.filter { !$0.isHidden }

    @Test("each command has a page, and each page of section 1 is a command's")
    func pages() throws {
        let pages = try ManualSource.names().filter { $0.hasSuffix(".1") }
        #expect(pages == (["natter.1"] + Self.commands.map { "natter-\($0).1" }).sorted())
    }

    @Test(
        "'list' means 'ls', and 'remove' means 'rm', in both programs, unless another command has the name",
        arguments: [
            (NatterProgram.spec, "list", "ls"), (NatterProgram.spec, "outbox list", "outbox ls"),
            (NatterProgram.spec, "rm 17", "delete"), (NatterProgram.spec, "contact rm bob", "contact remove"),
            (NatterProgram.spec, "profile remove work", "profile rm"),
            (NatterProgram.spec, "group rm ops", "group delete"),
            (NatterProgram.spec, "group remove ops bob", "group remove"),
            (NatterProgram.spec, "token remove 1", "token revoke"), (NatterProgram.spec, "config list", "config get"),
            (NatterProgram.spec, "admin user ls", "admin user list"),
            (NatterProgram.spec, "admin user", "admin user list"),
            (DaemonProgram.spec, "user ls", "user list"), (DaemonProgram.spec, "user", "user list"),
            (DaemonProgram.spec, "hook list", "hook ls"), (DaemonProgram.spec, "hook remove 1", "hook rm"),
        ])
    func synonyms(program: ProgramSpec, line: String, path: String) throws {
        let parsed = try ArgumentParser.parse(line.split(separator: " ").map(String.init), for: program)
        guard case .run(let found, _) = parsed else {
            Issue.record("'\(line)' runs nothing")
            return
        }
        #expect(found.text == path)
    }

    @Test("a page has its command's summary, synopsis and options", arguments: commands)
    func page(name: String) throws {
        let command = try #require(NatterProgram.spec.commands.first { $0.name == name })
        let page = try ManualSource("natter-\(name).1")
        #expect(page.summary == command.summary.english)
        let paths = Self.paths(of: command, below: [])
        let synopsis = paths.map { $0.synopsisMdoc(program: "natter") }.joined()
        #expect(Self.words(page.section("SYNOPSIS").joined(separator: "\n")) == Self.words(synopsis))
        #expect(page.options == Self.spellings(paths.flatMap(\.command.options)))
    }

    @Test(
        "mandoc finds nothing wrong in a rendered page",
        arguments: ["natter.1", "natterd.8"] + commands.map { "natter-\($0).1" })
    func lint(name: String) throws {
        let outcome = try ChildProcess(
            "/usr/bin/mandoc", ["-T", "lint", "-W", "warning"], environment: [:],
            input: .bytes(Array(try ManualSource(name).text.utf8))
        ).finish()
        #expect(outcome.code == 0 && outcome.bytes.isEmpty, "\(outcome.output)")
    }

    @Test(
        "prose about options, or about a command that the table does not have, is refused",
        arguments: [
            ".Sh OPTIONS\n.It all\n", ".Sh EXIT STATUS\n.Sh DESCRIPTION\n",
            ".Sh COMMANDS\n.Ss user add\n.Ss user none\n",
        ])
    func prose(text: String) {
        #expect(throws: CommandFailure.self) { try ManualPage(DaemonProgram.spec, prose: ".Nd a server\n" + text) }
    }

    @Test("the table's words become mdoc: options, placeholders, quotations, pages and paragraphs")
    func words() throws {
        // When a page has only what the table says
        let option = OptionSpec.option(
            "limit", short: "n", value: "N", isRepeatable: true, "at most N",
            long: "It beats -n (--limit), a 'first word'; see CONV's natter-log(1).\n\n'.x' and a\\b remain -word.")
        let text = try Self.page(of: option).text
        // Then each has its macro, and the text's own characters are escaped
        #expect(
            text.contains(
                ".Sh DESCRIPTION\nSend words.\n.Sh OPERANDS\n.Bl -tag -width Ds\n.It Ar CONV\nThe place.\n.El\n"))
        #expect(
            text.hasSuffix(
                """
                .It Fl n Ar N , Fl -limit Ar N
                At most
                .Ar N .
                You can repeat the option.
                It beats
                .Fl n
                .Fl ( -limit ) ,
                a
                .Ql first word ;
                see
                .Ar CONV Ns 's
                .Xr natter-log 1 .
                .Pp
                .Ql .x
                and a\\eb remain -word.
                .El

                """))
    }

    @Test("words of the table that name no option of the page, or a quotation without an end, are refused")
    func badWords() {
        for long in ["See --none.", "See -x.", "An 'open one."] {
            #expect(throws: CommandFailure.self) { try Self.page(of: .flag("limit", "no more", long: long)) }
        }
    }

    private static func page(of option: OptionSpec) throws -> ManualPage {
        let command = CommandSpec(
            "send", "send words", options: [option], operands: [.required("CONV", "the place")],
            run: { _, _ in .success })
        let program = ProgramSpec(name: "natter", tagline: "chat", version: "1", commands: [command])
        return try ManualPage(program, command: command, prose: "")
    }

    @Test("natter(1) leads to all pages and has the options that work everywhere")
    func map() throws {
        let page = try ManualSource("natter.1")
        #expect(page.options == Self.spellings(NatterProgram.spec.options))
        let missing = Set(Self.commands.map { "natter-\($0)(1)" }).subtracting(page.references)
        #expect(missing.isEmpty)
    }

    @Test("natterd(8) has the synopsis of each of its commands, and their options")
    func daemon() throws {
        let page = try ManualSource("natterd.8")
        let paths = Self.daemonCommands.flatMap { command in
            command.subcommands.isEmpty
                ? [CommandPath(names: [command.name], command: command)]
                : command.subcommands.map { CommandPath(names: [command.name, $0.name], command: $0) }
        }
        let synopsis = paths.map { $0.synopsisMdoc(program: "natterd") }.joined()
        #expect(Self.words(page.section("SYNOPSIS").joined(separator: "\n")) == Self.words(synopsis))
        #expect(
            page.options
                == Self.spellings(
                    DaemonProgram.spec.options + paths.flatMap(\.command.options)))
    }

    /// A command that only leads to others has a line for each of them.
    private static func paths(of command: CommandSpec, below names: [String]) -> [CommandPath] {
        let names = names + [command.name]
        guard !command.subcommands.isEmpty else { return [CommandPath(names: names, command: command)] }
        return command.subcommands.flatMap { paths(of: $0, below: names) }
    }

    private static func spellings(_ options: [OptionSpec]) -> Set<String> { Set(options.flatMap(\.spellings)) }

    /// Where lines break does not count.
    private static func words(_ text: String) -> [Substring] { text.split { $0 == " " || $0 == "\n" } }
}
